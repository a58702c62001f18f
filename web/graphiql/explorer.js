// The explorer: GraphiQL, opened on a walk through this API. Nothing here asks another machine for anything.

const file = (name) => new URL(name, import.meta.url);
const text = async (name) => (await fetch(file(name))).text();

// GraphiQL reads this as it loads, so it comes first.
globalThis.MonacoEnvironment = {
  globalAPI: true, // gives us `monaco`, through which the token reaches the headers pane
  getWorker: (_, label) => new Worker(file(`${["graphql", "json"].includes(label) ? label : "editor"}.worker.js`)),
};

// What is typed here may hold a password, so it is kept only as long as the browser's tab. Headers hold the token and
// are not kept at all: GraphiQL's history would keep them, whatever shouldPersistHeaders says.
const WITH_HEADERS = ["graphiql:tabState", "graphiql:queries", "graphiql:favorites"];
const withoutHeaders = (json) => JSON.stringify(JSON.parse(json), (key, value) => (key === "headers" ? null : value));
const storage = {
  getItem: (key) => sessionStorage.getItem(key),
  setItem: (key, value) => sessionStorage.setItem(key, WITH_HEADERS.includes(key) ? withoutHeaders(value) : value),
  removeItem: (key) => sessionStorage.removeItem(key),
  clear: () => sessionStorage.clear(),
  get length() {
    return sessionStorage.length;
  },
};

const HEADERS_HINT = `// Sent with each request of this tab. The token goes here:
// { "Authorization": "Bearer <the accessToken>" }
`;

async function fetcher(request, { headers } = {}) {
  const stop = new AbortController();
  const response = await fetch(location.pathname, {
    method: "POST",
    headers: {
      accept: "application/graphql-response+json, application/json, text/event-stream;q=0.5", // of a subscription
      "content-type": "application/json",
      ...headers,
    },
    body: JSON.stringify(request),
    signal: stop.signal,
  });
  if (response.headers.get("content-type")?.startsWith("text/event-stream")) return answers(response, stop);
  const answer = await response.json().catch(() => {
    throw new Error(`The answer is not JSON. Its status is ${response.status} ${response.statusText}.`);
  });
  if (request.operationName !== "IntrospectionQuery") offerToken(answer);
  return answer;
}

// What a subscription tells, as an observable: unlike an iterator's, its end need not wait for the next answer.
const answers = (response, stop) => ({
  subscribe({ next, error, complete }) {
    read(response.body, next).then(complete, (reason) => stop.signal.aborted || error(reason));
    return { unsubscribe: () => stop.abort() };
  },
});

// graphql-sse in its mode of distinct connections: an event "next" for each answer, then "complete".
async function read(body, next) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  while (true) {
    const { done, value } = await reader.read();
    if (done) throw new Error("The server has ended the subscription. Run it again.");
    const events = (unread + value).split("\n\n");
    unread = events.pop();
    for (const event of events) {
      const { event: kind, data } = Object.fromEntries(event.split("\n").map((line) => line.split(/: ?(.*)/s)));
      if (kind === "complete") return;
      if (kind === "next") next(JSON.parse(data));
    }
  }
}

// The bar above GraphiQL: shown while the last answer holds an access token.
const bar = document.querySelector("#token");
const [said, button] = bar.children;

function offerToken({ data }) {
  const payload = Object.values(data ?? {}).find((value) => value?.accessToken);
  bar.hidden = !payload;
  if (!payload) return;
  said.textContent = `The answer holds an access token${payload.account ? ` of ${payload.account.username}` : ""}.`;
  button.hidden = false;
  button.onclick = () => {
    sendAlong(payload.accessToken);
    said.textContent = "Each request of this tab now sends the token: see Headers. On reload it is forgotten.";
    button.hidden = true;
  };
}

function sendAlong(token) {
  const pane = monaco.editor.getModels().find(({ uri }) => uri.path.endsWith("request-headers.json"));
  const others = Object.entries(headersIn(pane)).filter(([name]) => name.toLowerCase() !== "authorization");
  const headers = JSON.stringify({ ...Object.fromEntries(others), Authorization: `Bearer ${token}` }, null, 2);
  // An edit, not setValue: what stood there can be had back with undo.
  pane.pushEditOperations([], [{ range: pane.getFullModelRange(), text: headers }], () => null);
  document.querySelector("button[data-name=headers]").click();
}

function headersIn(pane) {
  try {
    return JSON.parse(pane.getValue().replaceAll(/^\s*\/\/.*$/gm, ""));
  } catch {
    return {};
  }
}

// What to open: the tab that was active before a reload, else the walk. GraphiQL alone finds the tab again only where
// both its panes were edited, and otherwise opens it twice.
async function start() {
  const state = JSON.parse(storage.getItem("graphiql:tabState"));
  if (!state) return { query: await text("walk.graphql"), variables: await text("walk.variables.json") };
  return state.tabs[state.activeTabIndex];
}

async function open() {
  const [{ query, variables }] = await Promise.all([start(), import(file("graphiql.js"))]);
  YogaGraphiQL.renderYogaGraphiQL(document.querySelector("#explorer"), {
    fetcher,
    storage,
    title: "Planner",
    logo: `<img class="planner-logo" alt="" src="${file("icon.svg")}">`,
    initialQuery: query ?? "",
    initialVariables: variables ?? "",
    defaultQuery: "",
    defaultHeaders: HEADERS_HINT,
    plugins: undefined, // GraphiQL's own, docs and history: the wrapper has its query builder in history's place
    shouldPersistHeaders: false,
    onEditQuery: () => {}, // else each edit is written into the page's address
  });
}

open();
