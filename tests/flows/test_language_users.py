"""Nobody is learnt from and judged: whoever speaks in two parts is found before anything is paid."""

import json

import numpy as np
import pytest

from components.data.split import SALT, SHARES
from components.errors import InvalidInput
from components.language.learn import LearningParameters
from components.language.model import BiLSTMParameters
from flows.language import language
from tasks.language.budget import budgets
from tasks.language.inputs import OwnTexts, load_texts


@pytest.fixture
def texts(tmp_path):
    """Utterances of 60 users, whose names are written as numbers, as text and with white space about them."""
    lines = []
    for number in range(360):
        intent, user = ("on", "off", "play")[number % 3], number % 60
        name = (user, str(user), f" {user}\t")[number // 60 % 3]
        said = {"utterance": f"please {intent} it", "intent": intent, "user": name, "group": ("en", "nl")[number % 2]}
        lines.append(json.dumps(said))
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(lines))
    return OwnTexts(path=str(path), languages=("en", "nl"))


def test_a_user_is_one_however_the_name_is_written(texts):
    parts = load_texts(texts, salt=SALT, shares=SHARES).parts
    users = [set(part.users) for part in parts.values()]
    assert sum(map(len, users)) == len(set.union(*users)) == 60


def test_a_split_that_tears_users_apart_is_refused_and_nothing_is_paid(texts, home, policy, monkeypatch):
    def by_turn(users, salt, shares):
        """Everybody speaks six times, twice in each part."""
        return np.arange(len(users)) // 60 % 3

    monkeypatch.setattr("components.data.texts.split.split_of", by_turn)
    with pytest.raises(InvalidInput, match="60 users speak in the train part and in the selection part"):
        language(
            data=texts,
            network=BiLSTMParameters(embedding=4, hidden=4, words=300),
            learning=LearningParameters(epochs=1, batch=20),
            policy=policy(privacy={"lower_bound": {}}, beats_constant=None, not_worse=None),
        )
    assert budgets(home) == {}
