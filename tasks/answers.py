"""What a member says to others when it was asked: a public document, or one sentence that holds nothing of its data.

The text of an error may hold values, so it stays on the machine it happened on, where the worker prints it. What goes
out was written for others (`Refused`), by the network (`PartyLost`), or says no more than who failed.
"""

import json
import sys
import traceback
from datetime import datetime

from components.errors import InvalidInput
from components.mpc.launch import PartyCrashed
from components.mpc.network import PartyLost
from tasks.member import Member, parties_of, read_member
from tasks.own_part import Refused, Request, announce, public_answer, take_part, without_places

Ending = tuple[str, str | dict]
"""How it ended (Completed, Refused, Faulty, Lost), and the sentence or the document."""

_SAID_MORE = "what its worker printed says why"


def answer(request: Request, *, asked_for: datetime, now: datetime) -> Ending:
    """Do what was asked and say how it ended; never raises but for a signal.

    A request that is older than parties wait for one another is refused: nobody waits for its answer any more.
    """
    who = "a machine that was asked"
    try:
        member = read_member()
        who = f"party '{member.name}'"
        _require_recent(member, asked_for, now)
        if request.what == "announce":
            return "Completed", announce(member, request)
        return "Completed", public_answer(request, take_part(member, request))
    except Refused as refusal:
        return _ended("Refused", str(refusal), refusal.private)
    except PartyLost as lost:
        return _ended("Lost", without_places(str(lost), member), str(lost))
    except InvalidInput as mistake:
        return _ended("Refused", f"{who} cannot take part; {_SAID_MORE}", str(mistake))
    except PartyCrashed as crash:
        return _ended("Faulty", without_places(str(crash), member), str(crash))
    except Exception as error:
        sentence = f"{who} failed ({type(error).__name__}); {_SAID_MORE}"
        return _ended("Faulty", sentence, traceback.format_exc())


def to_markdown(document: dict) -> str:
    """A document as it is shown in the Prefect UI."""
    return f"```json\n{json.dumps(document, indent=1, allow_nan=False)}\n```"


def from_markdown(text: str) -> dict:
    """The document that `to_markdown` wrote."""
    return json.loads(text.removeprefix("```json\n").removesuffix("\n```"))


def _require_recent(member: Member, asked_for: datetime, now: datetime) -> None:
    gather = parties_of(member).gather
    if (now - asked_for).total_seconds() > gather:
        raise Refused(f"'{member.name}' was asked more than {gather:g} s ago, and is waited for no longer")


def _ended(kind: str, sentence: str, private: str) -> Ending:
    print(private, file=sys.stderr, flush=True)
    return kind, sentence
