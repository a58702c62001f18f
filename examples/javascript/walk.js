// A walk through the API with graphql-request: sign up, sign in, create an event, list the newest.
//   node walk.js [address] [e-mail]
import { randomUUID } from "node:crypto";
import { argv, env, exit } from "node:process";
import { ClientError, GraphQLClient, gql } from "graphql-request";

const address = argv[2] || env.PLANNER_URL || "http://127.0.0.1:8000";
const email = argv[3] || `ana-${randomUUID().slice(0, 13)}@example.com`;
const password = "seven grey geese"; // an invented person's; a real one is asked for, never written down

const SIGNUP = gql`mutation ($input: SignupInput!) { signup(input: $input) { account { username } } }`;
const SIGNIN = gql`mutation ($input: SigninInput!) { signin(input: $input) { accessToken expiresAt } }`;
const CREATE_EVENT = gql`mutation ($input: CreateEventInput!) { createEvent(input: $input) { id title } }`;
const EVENTS = gql`
  query ($first: Int!) {
    events(first: $first) {
      nodes { title location creator { username } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

const client = new GraphQLClient(`${address.replace(/\/$/, "")}/graphql`, {
  fetch: (url, init) => fetch(url, { ...init, signal: AbortSignal.timeout(10_000) }),
});

async function walk() {
  try {
    await client.request(SIGNUP, { input: { email, password, username: email.split("@")[0] } });
    console.log(`Signed up: ${email}`);
  } catch (error) {
    if (codeOf(error) !== "EMAIL_TAKEN") throw error;
    console.log(refusal(error)); // the account is there: go on and sign in
  }

  const { signin } = await client.request(SIGNIN, { input: { email, password } });
  const authorized = { Authorization: `Bearer ${signin.accessToken}` };
  console.log(`Signed in until ${signin.expiresAt}`);

  const event = {
    title: "FastAPI 책 출간 행사",
    description: "The book is out.",
    tags: ["python", "fastapi", "책"],
    location: "Google Meet",
    startsAt: "2030-05-04T19:00:00+09:00",
    endsAt: "2030-05-04T21:00:00+09:00",
    timeZone: "Asia/Seoul",
  };
  try {
    const wrong = { ...event, title: "", endsAt: "2030-05-04T18:00:00+09:00" };
    await client.request(CREATE_EVENT, { input: wrong }, authorized);
  } catch (error) {
    if (codeOf(error) !== "VALIDATION") throw error;
    console.log(refusal(error)); // whatever is wrong with an input is told at once, field by field
  }

  const { createEvent } = await client.request(CREATE_EVENT, { input: event }, authorized);
  console.log(`Created: ${createEvent.title}`);

  // Everybody may list: no token. The next page is after: endCursor.
  const { events } = await client.request(EVENTS, { first: 3 });
  for (const { title, location, creator } of events.nodes) {
    console.log(`Newest: ${title}, ${location}, by ${creator.username}`);
  }
}

/** The errors of a GraphQL answer; none where there was no such answer. */
const errorsOf = (error) => (error instanceof ClientError && error.response.errors) || [];

/** What went wrong, for programs; the message is for people and may change. */
const codeOf = (error) => errorsOf(error)[0]?.extensions?.code;

/** A line for each error, and one for each wrong field where the code is VALIDATION. */
function refusal(error) {
  return errorsOf(error)
    .flatMap(({ message, extensions }) => [
      `Refused: ${extensions?.code}: ${message}`,
      ...Object.entries(extensions?.fields ?? {}).map(([field, problem]) => `  ${field}: ${problem}`),
    ])
    .join("\n");
}

try {
  await walk();
} catch (error) {
  const status = error.response && `HTTP ${error.response.status}`;
  console.error(refusal(error) || `No GraphQL answer from ${address}. ${status ?? error.cause?.code ?? error.message}`);
  exit(1);
}
