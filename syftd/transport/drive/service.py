"""Calls to Drive: one client for each thread, every call counted, its errors understood, and repeated within a budget."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Event, Lock, local
from typing import Any, Final, Protocol

from syftd.errors import AuthNeeded, Permanent, Quota, SyftdError, Transient, TransportError
from syftd.names import Email
from syftd.seams import Clock, Random
from syftd.transport.drive.errors import raised
from syftd.transport.drive.quota import Cost, Governor, Retries

TRIES: Final = 4
BATCH: Final = 100
"""The most calls that Drive takes in one batch."""
PATIENCE_SECONDS: Final = 3.0
"""A wait that Google asks for is waited here when it is no longer than this, and otherwise by whoever called."""

Build = Callable[[Any], Any]
"""Makes a request of the client that it is given."""


class BuildPage(Protocol):
    """Makes the request for one page of a listing; the first one has no token."""

    def __call__(self, service: Any, token: str | None) -> Any: ...



class LoggedIn(Protocol):
    """Whoever has credentials that are valid now."""

    def credentials(self) -> Any: ...


class Service:
    """Google Drive for one account. Safe to use from any thread: each has a client, and a connection, of its own.

    `endpoint` is the address of another server that speaks the same interface; '' means Google.
    """

    def __init__(
        self, login: LoggedIn, clock: Clock, random: Random, *, endpoint: str = "", share: float = 0.5,
        tries: int = TRIES,
    ) -> None:  # fmt: skip
        self.governor = Governor(clock, share)
        self._login = login
        self._clock = clock
        self._endpoint = endpoint.rstrip("/")
        self._tries = tries
        self._closing = Event()
        self._retries = Retries(random, self._closing.wait)
        self._local = local()
        self._lock = Lock()
        self._document: dict[str, Any] | None = None
        self._account: Email | None = None
        self._account_of: Any = None
        self._https: list[Any] = []
        """The connections of all threads, to end them."""

    def call(self, cost: Cost, what: str, build: Build) -> Any:
        """Makes one call and returns what Drive answers. Every call must be one that can be repeated."""
        return self.attempt(cost, what, lambda service: build(service).execute(num_retries=0))

    def attempt(self, cost: Cost, what: str, work: Callable[[Any], Any]) -> Any:
        """Runs `work` with this thread's client, again within the budget while the errors are passing ones."""
        attempt = 0
        while True:
            self._spend(cost)
            try:
                answer = work(self._client())
            except Exception as error:  # noqa: BLE001 - sorted at once; what is not a transport's error is raised again.
                mapped = self._understood(error, what)
                attempt += 1
                if attempt >= self._tries or not self._again(mapped, attempt):
                    raise mapped from (None if isinstance(mapped, AuthNeeded) else error)
            else:
                self._retries.succeeded()
                return answer

    def each(self, cost: Cost, what: str, builds: Sequence[Build]) -> list[Any]:
        """Makes many calls in as few requests as may be. For each: its answer, or the TransportError that it ended with."""
        answers: list[Any] = [None] * len(builds)
        for begin in range(0, len(builds), BATCH):
            waiting = list(range(begin, min(begin + BATCH, len(builds))))
            attempt = 0
            while waiting:
                self._batch(cost, what, builds, waiting, answers)
                failed = [index for index in waiting if isinstance(answers[index], TransportError)]
                passing = [index for index in failed if isinstance(answers[index], (Transient, Quota))]
                attempt += 1
                if not passing or attempt >= self._tries or not self._again(answers[passing[0]], attempt):
                    break
                waiting = passing
        return answers

    def _batch(self, cost: Cost, what: str, builds: Sequence[Build], chosen: Sequence[int], answers: list[Any]) -> None:
        if len(chosen) == 1:
            # A batch of one is only a call with more round it.
            self._spend(cost)
            try:
                answers[chosen[0]] = builds[chosen[0]](self._client()).execute(num_retries=0)
            except Exception as error:  # noqa: BLE001 - sorted at once; what is not a transport's error is raised again.
                answers[chosen[0]] = self._understood(error, what)
            return

        def took(id: str, response: Any, error: Exception | None) -> None:
            answers[int(id)] = response if error is None else self._understood(error, what)

        for index in chosen:
            answers[index] = Transient(f"{what}: Drive did not answer")
        self._spend(cost, len(chosen))
        try:
            client = self._client()
            batch = client.new_batch_http_request(callback=took)
            for index in chosen:
                batch.add(builds[index](client), request_id=str(index))
            batch.execute()
        except Exception as error:  # noqa: BLE001 - as above; it stands for every call that has no answer.
            mapped = self._understood(error, what)
            for index in chosen:
                if isinstance(answers[index], Transient):
                    answers[index] = mapped

    def pages(self, what: str, key: str, build: BuildPage) -> Iterable[tuple[list[Any], dict[str, Any]]]:
        """All pages of a listing: the items under `key`, and the whole answer."""
        token: str | None = None
        seen: set[str] = set()
        while True:
            answer = self.call("list", what, partial(build, token=token))
            if not isinstance(answer, dict):
                raise Transient(f"{what}: the answer was not Drive's")
            yield answer.get(key, []), answer
            token = answer.get("nextPageToken")
            if not token:
                return
            if token in seen:
                raise Permanent(f"{what}: Drive gives the same page again and again")
            seen.add(token)

    def account(self) -> Email:
        """The address of whoever is logged in, asked once for each login."""
        credentials = self._login.credentials()
        with self._lock:
            if self._account is not None and self._account_of is credentials:
                return self._account
        answer = self.call("read", "asking who is logged in", lambda s: s.about().get(fields="user(emailAddress)"))
        try:
            found = Email.parse(str(answer["user"]["emailAddress"]))
        except (KeyError, TypeError, SyftdError):
            raise Transient("Drive does not say who is logged in") from None
        with self._lock:
            self._account, self._account_of = found, credentials
        return found

    def pause(self, seconds: float) -> None:
        """Waits so long, unless the transport is being closed."""
        self._closing.wait(seconds)

    def close(self) -> None:
        """Ends all waiting, and breaks off the calls that are under way: every one can be repeated."""
        self._closing.set()
        with self._lock:
            connections = [connection for http in self._https for connection in list(http.connections.values())]
        for connection in connections:
            connection.connect = _closed  # The library would connect anew by itself.
            sock = getattr(connection, "sock", None)
            try:
                if sock is not None:
                    sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It has ended by itself.

    def _spend(self, cost: Cost, calls: int = 1) -> None:
        """Takes units for calls, after a short wait if there is room then. Raises Quota for a longer one."""
        try:
            self.governor.spend(cost, calls)
        except Quota as full:
            if full.after > PATIENCE_SECONDS or self._closing.wait(full.after):
                raise
            self.governor.spend(cost, calls)

    # -- clients ---------------------------------------------------------------------------------------------------

    def _client(self) -> Any:
        if self._closing.is_set():
            raise Transient("Google Drive is being closed")
        credentials = self._login.credentials()
        known = getattr(self._local, "client", None)
        if known is not None and known[0] is credentials:
            return known[1]
        from google_auth_httplib2 import AuthorizedHttp
        from googleapiclient.discovery import build, build_from_document
        from googleapiclient.http import build_http

        # Its warnings would only repeat, in other words, what our errors say.
        logging.getLogger("googleapiclient.http").setLevel(logging.ERROR)
        bare = build_http()
        with self._lock:
            self._https.append(bare)
        http = AuthorizedHttp(credentials, http=bare)
        if self._endpoint:
            client = build_from_document(self._described(), http=http)
        else:
            client = build("drive", "v3", http=http, static_discovery=True, cache_discovery=False)
        for name in ("about", "changes", "files", "permissions"):
            # The library would make the methods of each anew for every call, at the price of the call's own work.
            made = getattr(client, name)()
            setattr(client, name, lambda made=made: made)
        self._local.client = (credentials, client, bare)
        return client

    def _described(self) -> dict[str, Any]:
        """The description of the interface as the endpoint gives it: with its own address in it."""
        with self._lock:
            known = self._document
        if known is None:
            from googleapiclient.http import build_http

            bare = build_http()
            with self._lock:
                self._https.append(bare)
            address = f"{self._endpoint}/discovery/v1/apis/drive/v3/rest"
            response, content = bare.request(address)
            if response.status != 200:
                raise Transient(f"{address} does not describe a Drive (HTTP {response.status})")
            known = json.loads(content)
            with self._lock:
                self._document = known
        return known

    # -- errors ----------------------------------------------------------------------------------------------------

    def _understood(self, error: BaseException, what: str) -> TransportError:
        mapped = raised(error, what, self._clock.now())
        if mapped is None:
            raise error  # A bug of ours: it is shown as one.
        if isinstance(mapped, Quota) and mapped.after > PATIENCE_SECONDS:
            self.governor.told_to_wait(mapped.after)
        if not isinstance(mapped, TransportError):
            raise mapped
        if isinstance(mapped, Transient) and not hasattr(error, "resp"):
            # What may still arrive on a connection that failed must not be taken for the answer to another call.
            known = getattr(self._local, "client", None)
            if known is not None:
                known[2].close()
        return mapped

    def _again(self, error: TransportError, attempt: int) -> bool:
        if isinstance(error, Quota):
            if error.after > PATIENCE_SECONDS:
                return False
            return self._retries.again(attempt - 1) and not self._closing.wait(error.after)
        return isinstance(error, Transient) and self._retries.again(attempt - 1)


def _closed() -> None:
    raise OSError("Google Drive is being closed")
