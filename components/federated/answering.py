"""What an owner does for each instruction, wherever it comes from: answer openly, or take its step in a secure sum.

Two kinds of handlers answer: those of `answers`, whose answer the aggregator reads, and those of `sums`, whose vector
is masked here and leaves no other way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from components.federated.content import Content, read_content
from components.federated.context import question_of
from components.federated.frame import Json, Octets
from components.federated.member import Member
from components.federated.violation import ProtocolViolation

_OF_THE_FRAME = {"number", "step"}
"""What an instruction says of itself, beside what it asks."""

Answer = Callable[[Content], Content]
Vector = Callable[[Content], np.ndarray]


@dataclass
class Answering:
    """An owner's member of the protocol and its handlers by name; `aggregator` is who asks."""

    member: Member
    answers: Mapping[str, Answer]
    sums: Mapping[str, Vector]
    aggregator: str

    def answer(self, step: str, document: dict, parts: list[memoryview]) -> tuple[dict[str, Json], list[Octets]]:
        """Document and octet strings of the answer to an instruction.

        Raises
        ------
        ProtocolViolation
            The instruction breaks the protocol or is none.
        InvalidInput
            A handler refused its input.
        """
        member = self.member
        match step, parts:
            case "ask", _:
                return self._handler(self.answers, document)(self._content(document, parts)).written()
            case "advertise", [announcement]:
                return {}, [member.advertise(announcement)]
            case "share", [advertisements]:
                return {}, [member.share(advertisements)]
            case "sum", [delivery, *rest]:
                handler = self._handler(self.sums, document)
                if len(delivery):
                    member.receive(delivery)
                asked = replace(self._content(document, rest), batch=member.batch)
                question = question_of({key: document[key] for key in document.keys() - _OF_THE_FRAME}, rest)
                return {}, [member.mask(document.get("message"), handler(asked), question)]
            case "sign", [survivors]:
                return {}, [member.sign(survivors)]
            case "unmask", [signatures]:
                return {}, [member.unmask(signatures)]
        raise ProtocolViolation(self.aggregator, f"gave an instruction that nobody knows ({step!r})")

    def _handler(self, handlers: Mapping[str, Callable], document: dict) -> Callable:
        name = document.get("name")
        if not isinstance(name, str) or name not in handlers:
            raise ProtocolViolation(self.aggregator, f"asked for {name!r}, which '{self.member.name}' does not answer")
        return handlers[name]

    def _content(self, document: dict, parts: list[memoryview]) -> Content:
        return read_content(document, parts, sender=self.aggregator)
