"""One GraphQL operation: read from what a client sent, run, and its answers shaped, whatever it came by."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from graphql import GraphQLError, OperationType

from auth import Accounts, Proxies
from calendars.links import Links
from errors import BadRequest, CutShort, Refusal, TokenExpired, TokenRevoked, Unavailable
from executor import Executor, NotAllowed, Result, UnknownOperation
from replicas import FellBehind
from schema.context import Context
from schema.live import Live
from web.caller import Caller
from web.graphql_errors import cause_of, shape
from web.log import REQUEST_ID, Requests
from web.metrics import Metrics

if TYPE_CHECKING:
    from web.tracing import Traces  # whose packages need not be there

QUERIES = frozenset({OperationType.QUERY})
QUERIES_AND_MUTATIONS = frozenset({OperationType.QUERY, OperationType.MUTATION})
_chance = random.Random()  # noqa: S311 - seeded by the system; it tells requests apart, and is no secret
JSON_OPTIONS = orjson.OPT_UTC_Z  # with which answers are to be written: instants come as they were read
SESSION_CHECK_SECONDS = 30
FINISH_SECONDS = 3.5  # with what stands in app.py and cli/serve.py, a server that stops has ended within ten
CUT_SECONDS = 0.5  # for what is cut short then to be told so


class RefusedRequest(Exception):
    """This is not a GraphQL request: over HTTP answered with this status and a GraphQL error body."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}

    def shape(self, request_id: str) -> dict[str, Any]:
        return shape(GraphQLError(str(self), original_error=BadRequest(str(self))), request_id)


class IsSubscription(RefusedRequest):
    """Its answers need a way to come by."""

    def __init__(self) -> None:
        super().__init__(400, "A subscription needs a WebSocket, or Accept: text/event-stream.")


@dataclass(slots=True)
class Asked:
    """The parameters of a request: GraphQL over HTTP §5.1."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None

    @classmethod
    def of(cls, parameters: object) -> "Asked":
        """Raises RefusedRequest where a parameter is missing or of another kind."""
        if not isinstance(parameters, dict):
            raise RefusedRequest(400, "The body must be a JSON object with a query.")
        query = parameters.get("query")
        if not isinstance(query, str) or not query.strip():
            raise RefusedRequest(400, "query must be a string that holds a GraphQL document.")
        for name, kind, said in (("variables", dict, "an object"), ("extensions", dict, "an object")):
            if not isinstance(parameters.get(name), kind | None):
                raise RefusedRequest(400, f"{name} must be {said}.")
        if not isinstance(parameters.get("operationName"), str | None):
            raise RefusedRequest(400, "operationName must be a string.")
        return cls(query, parameters.get("variables"), parameters.get("operationName") or None)


@dataclass(slots=True)
class Answer:
    """`body` has `data`, unless nothing was executed; and `errors`, where there are any."""

    body: dict[str, Any]
    was_executed: bool

    @classmethod
    def of(cls, result: Result, request_id: str) -> "Answer":
        if not result.errors:
            return cls({"data": result.data}, was_executed=True)
        of_a_mutation = result.operation is not None and result.operation.kind is OperationType.MUTATION
        shaped = [shape(error, request_id, of_a_mutation=of_a_mutation) for error in result.errors]
        body = {"data": result.data, "errors": shaped} if result.was_executed else {"errors": shaped}
        return cls(body, result.was_executed)

    @property
    def codes(self) -> list[str]:
        """Of its errors."""
        return [error["extensions"]["code"] for error in self.body.get("errors", ())]


class Operations:
    """`clock` says what time it is, aware and in UTC."""

    def __init__(
        self,
        executor: Executor,
        accounts: Accounts,
        live: Live,
        links: Links,
        *,
        proxies: Proxies,
        metrics: Metrics | None = None,
        requests: Requests | None = None,
        traces: "Traces | None" = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        session_check_seconds: float = SESSION_CHECK_SECONDS,
    ) -> None:
        self._executor, self._accounts, self._live, self._clock = executor, accounts, live, clock
        self._links, self.proxies = links, proxies
        self.metrics, self.requests, self._traces = metrics or Metrics(), requests or Requests(), traces
        self._session_check_seconds = session_check_seconds
        self._running: set[asyncio.Task[Any]] = set()  # operations that run to their end, whoever leaves
        self.calls: set[asyncio.Task[Any]] = set()  # of the application: each request is one, and each socket
        self.stopping = asyncio.Event()

    def context(self, caller: Caller, request_id: str) -> Context:
        REQUEST_ID.set(request_id)
        return Context(
            accounts=self._accounts,
            live=self._live,
            links=self._links,
            caller=caller,
            clock=self._clock,
            request_id=request_id,
        )

    async def execute(
        self, asked: Asked, context: Context, allowed: frozenset[OperationType] = QUERIES_AND_MUTATIONS
    ) -> Answer:
        """Raises RefusedRequest; IsSubscription where it is one. Cancelled while the server stops, it answers so."""
        begun = time.perf_counter()
        try:
            result = await self._executor.execute(
                asked.query, asked.variables, asked.operation_name, context=context, allowed=allowed
            )
        except UnknownOperation:
            raise RefusedRequest(400, "operationName must name one of the document's operations.") from None
        except NotAllowed as refused:
            if refused.kind is OperationType.SUBSCRIPTION:
                raise IsSubscription from None
            raise RefusedRequest(405, "GET runs queries only. Use POST.", {"allow": "POST"}) from None
        except asyncio.CancelledError:
            if not self.stopping.is_set():
                raise
            result = self._cut_short(asked)
        seconds = time.perf_counter() - begun
        self.metrics.operations.note(result.operation, seconds)
        answer = Answer.of(result, context.request_id)
        if self._traces:
            self._traces.ran(result.operation, context, answer.codes)
        if result.errors or self.requests.are_sampled:
            self.requests.ran(result.operation, context, seconds, answer.codes)
        return answer

    async def execute_to_its_end(self, asked: Asked, context: Context, at_work: set[asyncio.Task[Any]]) -> Answer:
        """The same, also where the client goes away: a mutation cut short may have been made and not told.

        While it runs, it stands in `at_work`: longer than this is waited for, if that is cancelled."""
        task = asyncio.ensure_future((self._traced if self._traces else self.execute)(asked, context))
        at_work.add(task)
        task.add_done_callback(at_work.discard)
        self._running.add(task)
        task.add_done_callback(self._ran)
        return await asyncio.shield(task)

    async def _traced(self, asked: Asked, context: Context) -> Answer:
        assert self._traces  # noqa: S101 - else nobody comes here
        with self._traces.operation():
            return await self.execute(asked, context)

    async def subscribe(self, asked: Asked, context: Context) -> AsyncGenerator[Answer, None]:
        """The answers of a subscription. Raises FellBehind."""
        if self.stopping.is_set():
            yield Answer.of(Result(None, [_error(stops())], was_executed=False), context.request_id)
            return
        results = self._executor.subscribe(asked.query, asked.variables, asked.operation_name, context=context)
        begun, operation, codes = time.perf_counter(), None, list[str]()
        traced = self._traces.answers(context) if self._traces else None
        try:
            with self.metrics.subscriptions.track_inprogress():
                async with aclosing(results):
                    async for result in results:
                        self._raise_if_fell_behind(result)
                        answer = Answer.of(result, context.request_id)
                        operation, codes = result.operation, answer.codes
                        if traced:
                            traced.ran(operation, codes)
                        self.metrics.told.inc()
                        yield answer
        finally:
            if traced:
                traced.end()
            self.requests.ran(operation, context, time.perf_counter() - begun, codes)

    def _cut_short(self, asked: Asked) -> Result:
        """In place of the answer that it was cancelled before."""
        if task := asyncio.current_task():
            task.uncancel()  # it goes on, to say so
        operation = self._executor.known(asked.query, asked.operation_name)
        is_query = operation is not None and operation.kind is OperationType.QUERY
        return Result(None, [_error(stops() if is_query else CutShort())], operation=operation)

    def _raise_if_fell_behind(self, result: Result) -> None:
        for error in result.errors:
            if isinstance(cause := cause_of(error), FellBehind):
                self.metrics.fell_behind.inc()
                raise cause

    def _ran(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else may be left to look at it

    async def until_signed_out(self, caller: Caller, *, also_before: bool = False) -> Refusal | None:
        """Why a token that was good is so no longer: it expired, its session ended, its account is gone. None, at once,
        for one that never was; but with `also_before` why one was so no longer from the beginning."""
        was_good = False
        while True:
            context = self.context(caller, new_request_id())
            try:
                await context.viewer()
                was_good = True
            except Unavailable:
                pass  # the database will say another time
            except Refusal as refusal:
                ended = isinstance(refusal, TokenExpired | TokenRevoked)
                return refusal if was_good or (also_before and ended) else None
            await asyncio.sleep(min(self._session_check_seconds, context.token_seconds_left))

    def stop(self) -> None:
        """Nothing is begun over a socket or as a stream any more; each is ended once what it asked is answered."""
        self.stopping.set()

    async def finish(self, seconds: float = FINISH_SECONDS, *, is_over: bool = False) -> None:
        """Returns once all that is under way has been answered. What takes longer than this is cut short; requests only
        where the server `is_over` and has given them up, which waits for them longer than it can for sockets."""
        late = self.calls | self._running
        if late:
            _, late = await asyncio.wait(late, timeout=seconds)
        for _ in range(2):  # once more, since what undoes a transaction may have to wait too
            for task in late if is_over else late & self._running:
                task.cancel()
            if late:
                _, late = await asyncio.wait(late, timeout=CUT_SECONDS / 2)


def stops() -> Unavailable:
    return Unavailable("This server stops.", retry_after=1)


def _error(refusal: Refusal) -> GraphQLError:
    return GraphQLError(str(refusal), original_error=refusal)


async def alone(answer: Answer) -> AsyncGenerator[Answer, None]:
    """As one that is followed by no other."""
    yield answer


def new_request_id() -> str:
    return f"{_chance.getrandbits(128):032x}"
