"""The desk: the one thread of a worker process that looks things up for the threads that perform steps."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import ClassVar

from django.db import connection

from automations.models import Answers, Question, again_if_lost, answers

IDLE_SECONDS = 1.0  # then it gives its connection back
ANSWER_SECONDS = 10.0

_Asked = tuple[Sequence[Question], "Future[Answers]"]


class Desk:
    """One connection for all the threads of a crew: questions that come while it reads are answered together."""

    _desks: ClassVar[dict[int, Desk]] = {}
    _making = threading.Lock()

    def __init__(self, read: Callable[[Sequence[Question]], Answers] = answers) -> None:
        self.read = read
        self.asked: queue.Queue[_Asked] = queue.Queue()
        threading.Thread(target=self._work, name="desk", daemon=True).start()

    @classmethod
    def of_this_process(cls) -> Desk:
        """The process's desk; threads do not outlive a fork."""
        with cls._making:
            if os.getpid() not in cls._desks:
                cls._desks[os.getpid()] = cls()
            return cls._desks[os.getpid()]

    def ask(self, questions: Sequence[Question]) -> Answers:
        """The answers. Raises TimeoutError after ANSWER_SECONDS, and what the database raised."""
        future: Future[Answers] = Future()
        self.asked.put((questions, future))
        return future.result(timeout=ANSWER_SECONDS)

    def _work(self) -> None:
        while True:
            try:
                waiting = [self.asked.get(timeout=IDLE_SECONDS)]
            except queue.Empty:
                connection.close()
                continue
            while not self.asked.empty():
                waiting.append(self.asked.get())
            self._answer(waiting)

    def _answer(self, waiting: Sequence[_Asked]) -> None:
        questions = list(dict.fromkeys(question for asked, _ in waiting for question in asked))
        try:
            found = again_if_lost(lambda: self.read(questions))
        except Exception as error:  # whoever asked is told, and the next ones are answered again
            for _, future in waiting:
                future.set_exception(error)
            return
        for _, future in waiting:
            future.set_result(found)
