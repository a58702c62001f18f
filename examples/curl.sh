#!/bin/sh
# A walk through the API with curl alone: sign up, sign in, create an event, list the newest.
#   sh curl.sh [address] [e-mail]
set -eu

address=${1:-${PLANNER_URL:-http://127.0.0.1:8000}}
email=${2:-ana-$(date +%s)-$$@example.com}
username=${email%%@*}
password='seven grey geese' # an invented person's; a real one is asked for, never written down

# ask QUERY [curl's options] <VARIABLES: the answer.
# --data drops line breaks, which JSON forbids inside a string: so a query may span lines. It holds no double quotes.
ask() {
    query=$1
    shift
    body=$({ printf '{"query": "%s", "variables": ' "$query"; cat; echo '}'; } |
        curl --silent --show-error --fail-with-body --max-time 10 "${address%/}/graphql" \
            --header 'Content-Type: application/json' --data @- "$@") ||
        { echo "No GraphQL answer from $address.${body:+ $body}" >&2; exit 1; }
    printf '%s\n' "$body"
}

# value NAME ANSWER: the text that a name has in the answer, or nothing. With jq: jq -r .data.signin.accessToken
value() { printf '%s\n' "$2" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }

# An answer with errors may well have status 200: look for extensions.code. The message is for people and may change.
refused() {
    echo "Refused: $(value code "$1"): $(value message "$1")"
    printf '%s\n' "$1" | sed -n 's/.*"fields":{\([^}]*\)}.*/  \1/p' # VALIDATION alone has them
}
stop_if_refused() { # stop_if_refused ANSWER [CODE]: but goes on where it is this code
    case $(value code "$1") in
        '') ;;
        "${2:-}") refused "$1" ;;
        *) refused "$1" >&2; exit 1 ;;
    esac
}

answer=$(ask 'mutation ($input: SignupInput!) { signup(input: $input) { account { username } } }' <<JSON
{"input": {"email": "$email", "password": "$password", "username": "$username"}}
JSON
)
stop_if_refused "$answer" EMAIL_TAKEN # the account is there: go on and sign in
[ -n "$(value code "$answer")" ] || echo "Signed up: $email"

answer=$(ask 'mutation ($input: SigninInput!) { signin(input: $input) { accessToken expiresAt } }' <<JSON
{"input": {"email": "$email", "password": "$password"}}
JSON
)
stop_if_refused "$answer"
token=$(value accessToken "$answer")
echo "Signed in until $(value expiresAt "$answer")"

create_event() {
    ask 'mutation ($input: CreateEventInput!) { createEvent(input: $input) { id title } }' \
        --header "Authorization: Bearer $token"
}

# Whatever is wrong with an input is told at once, field by field.
answer=$(create_event <<'JSON'
{"input": {"title": "", "description": "", "tags": [], "location": "", "timeZone": "Asia/Seoul",
           "startsAt": "2030-05-04T19:00:00+09:00", "endsAt": "2030-05-04T18:00:00+09:00"}}
JSON
)
stop_if_refused "$answer" VALIDATION

answer=$(create_event <<'JSON'
{"input": {"title": "FastAPI 책 출간 행사", "description": "The book is out.", "tags": ["python", "fastapi", "책"],
           "location": "Google Meet", "timeZone": "Asia/Seoul",
           "startsAt": "2030-05-04T19:00:00+09:00", "endsAt": "2030-05-04T21:00:00+09:00"}}
JSON
)
stop_if_refused "$answer"
echo "Created: $(value title "$answer")"

# Everybody may list: no token. The next page is after: endCursor.
answer=$(ask 'query ($first: Int!) { events(first: $first) {
    nodes { title location creator { username } }
    pageInfo { hasNextPage endCursor }
} }' <<'JSON'
{"first": 3}
JSON
)
stop_if_refused "$answer"
echo "Newest: $answer"
