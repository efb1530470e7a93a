"""Links as they are used between machines, here between threads: real sockets, real TLS, real refusals."""

import socket
import ssl
import threading
import time

import numpy as np
import pytest

from components.errors import InvalidInput
from components.mpc import link
from components.mpc.hello import Hello
from components.mpc.link import Kind, write_frame
from components.mpc.multiply import multiply_fixed
from components.mpc.network import PartyLost
from components.mpc.simulate import simulate
from components.mpc.tls_network import join
from components.parties.certificates import tls_context
from components.parties.file import make_parties

OWNERS = ("hospital", "insurer", "registry", "clinic")
AGREEMENT = {"rows": 5, "features": ["age"]}


class Consortium:
    """Some owners and a dealer with certificates and free ports; each runs in a thread."""

    def __init__(self, folder, owners, *, timeout=3.0, gather=5.0):
        self.folder = folder
        self.listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in OWNERS[:owners]}
        self.hosts = {name: one.getsockname() for name, one in self.listeners.items()}
        self.parties = self.make("ours", timeout=timeout, gather=gather)

    def make(self, project, **times):
        return make_parties(self.folder / project, list(self.hosts), hosts=self.hosts, **times)

    def run(self, program, **changes):
        """What each member's program returned or raised; `changes` are options of `join` by member."""
        ended, threads = {}, []

        def take_part(name):
            options = {"agreement": AGREEMENT, "parties": self.parties} | changes.get(name, {})
            do = options.pop("program", program)
            try:
                with join(options.pop("parties"), name, listener=self.listeners.get(name), **options) as session:
                    ended[name] = do(session)
            except BaseException as error:
                ended[name] = error

        for name in (*self.hosts, "dealer"):
            if changes.get(name, {}) is not None:
                threads.append(threading.Thread(target=take_part, args=(name,), daemon=True))
                threads[-1].start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        return ended


@pytest.fixture
def consortium(tmp_path):
    made = []

    def make(owners=2, **options):
        made.append(Consortium(tmp_path / str(len(made)), owners, **options))
        return made[-1]

    yield make
    for one in made:
        for listener in one.listeners.values():
            listener.close()


def products(engine):
    x = engine.share(0, np.array([1.5, -2.25, 1000.125, 0, -3e5]), (5,))
    y = engine.share(1, np.array([2, 3.5, -7.5, 1, 2.0]), (5,))
    return engine.reveal("product", multiply_fixed(x, y))


@pytest.mark.parametrize("owners", [2, 3, 4])
def test_the_same_program_gives_the_same_result_and_the_same_traffic_as_in_one_process(consortium, owners):
    seen = {}

    def program(session):
        seen[session.engine.party] = getattr(session.network, "traffic", None)
        return products(session.engine)

    ended = consortium(owners).run(program)
    results, engines = simulate(products, owners)

    for number, name in enumerate(OWNERS[:owners]):
        np.testing.assert_array_equal(ended[name], results[number])
        assert seen[number] == engines[number].network.traffic


def test_they_go_on_from_the_last_step_that_all_have(consortium):
    ended = consortium(3).run(
        lambda session: (session.resume_from, session.tag),
        hospital={"finished": {5: "v", 6: "w", 7: "x"}},
        insurer={"finished": {4: "u", 5: "v"}},
        registry={"finished": {5: "v", 6: "other"}},
    )
    assert set(ended) == {"hospital", "insurer", "registry", "dealer"}
    assert len(set(ended.values())) == 1
    assert ended["dealer"][0] == 5


def test_every_try_has_a_tag_of_its_own(consortium):
    one, other = (consortium().run(lambda session: session.tag) for _ in range(2))
    assert len({*one.values(), *other.values()}) == 2


@pytest.mark.parametrize("size", [1, 1 << 10, link.DIRECT // 8, link.DIRECT // 8 + 1, 1 << 21])
def test_messages_of_any_size_arrive_whole_and_in_order(consortium, size):
    def program(session):
        if session.engine.deals:
            return None
        number = session.engine.party
        words = np.arange(size, dtype=np.uint64)
        for step in range(5):
            one_way, reply = {1: words + np.uint64(step)}, {}
            if number:
                one_way, reply = {}, {0: (size,)}
            got = session.engine.send("step", one_way, reply)
            if number:
                np.testing.assert_array_equal(got[0], words + np.uint64(step))
        return True

    assert consortium().run(program) == {"hospital": True, "insurer": True, "dealer": None}


def test_what_is_dealt_arrives_in_pieces_of_any_size_and_on_words_boundaries(consortium):
    sizes = [3, 8, 1, 70_001, 16, 5, 1 << 20, 24]

    def program(session):
        engine = session.engine
        if engine.deals:
            stream = (np.arange(sum(sizes)) % 251).astype(np.uint8)
            pieces = np.split(stream, np.cumsum([5, 70_000, 2, 2, 600_000]))
            for piece in pieces:
                session.network.deal(1, piece.data)
            return None
        if engine.party == 1:
            taken = [session.network.from_dealer(size) for size in sizes]
            expected = np.split((np.arange(sum(sizes)) % 251).astype(np.uint8), np.cumsum(sizes)[:-1])
            for piece, content in zip(expected, taken, strict=True):
                np.testing.assert_array_equal(np.frombuffer(content, dtype=np.uint8), piece)
                assert np.frombuffer(content, dtype=np.uint8).ctypes.data % 8 == 0
            assert session.network.traffic.dealt == sum(sizes)
        return True

    assert consortium().run(program) == {"hospital": True, "insurer": True, "dealer": None}


def test_keys_of_parties_are_their_own_and_new_every_time(consortium):
    def program(session):
        engine = session.engine
        drawn = engine.private(0, (4,)), engine.private(1, (4,))
        return [None if words is None else words.tobytes() for words in drawn]

    runs = [consortium().run(program) for _ in range(2)]
    for run in runs:
        assert run["hospital"] == [run["dealer"][0], None]
        assert run["insurer"] == [None, run["dealer"][1]]
    assert len({words for run in runs for words in run["dealer"]}) == 4


def test_another_row_count_is_refused_by_all_with_the_difference(consortium):
    ended = consortium().run(products, insurer={"agreement": AGREEMENT | {"rows": 4}})

    assert all(isinstance(error, PartyLost) for error in ended.values())
    assert "rows = 4 where" in str(ended["hospital"]) + str(ended["dealer"])
    assert "rows = 5 where 'insurer' has 4" in str(ended["insurer"])


@pytest.mark.parametrize("who", ["insurer", "dealer"])
def test_another_version_is_refused_by_all_with_both(consortium, who):
    ended = consortium().run(products, **{who: {"hello": Hello(who, AGREEMENT, product="0.0.1")}})

    assert all(isinstance(error, PartyLost) for error in ended.values())
    assert "troth 0.0.1" in str(ended["hospital"])
    assert f"'{who}' runs 0.0.1" in str(ended[who])


def test_another_order_of_owners_is_refused_by_all(consortium):
    """Two would be party 0."""
    one = consortium()
    turned = one.parties.model_copy(update={"owners": one.parties.owners[::-1]})
    ended = one.run(products, insurer={"parties": turned})

    assert all(isinstance(error, PartyLost) for error in ended.values())
    assert all("lists the owners" in str(error) for error in ended.values())


def test_files_of_another_authority_are_refused_by_both_sides(consortium):
    one = consortium()
    ended = one.run(products, insurer={"parties": one.make("theirs", gather=5)})

    assert all(isinstance(error, PartyLost) for error in ended.values())
    assert "party 'insurer'" in str(ended["hospital"])
    assert "authority" in str(ended["hospital"])
    assert "party 'hospital'" in str(ended["insurer"])


def test_files_of_another_party_are_noticed_before_anything_is_sent(consortium):
    one = consortium(gather=1)
    insurer = one.parties.owners[1]
    swapped = insurer.model_copy(update={"certificate": one.parties.owners[0].certificate})
    wrong = one.parties.model_copy(update={"owners": (one.parties.owners[0], swapped)})
    ended = one.run(products, insurer={"parties": wrong})

    assert isinstance(ended["insurer"], InvalidInput)
    assert "hospital.pem" in str(ended["insurer"])
    assert "'insurer'" in str(ended["hospital"])
    assert "did not come within 1 s" in str(ended["hospital"])


def dial(one, as_name, to, *, files=None):
    """A TLS connection to a member by somebody who holds the files of `as_name`."""
    holder = (files or one.parties).member(as_name)
    context = tls_context(
        serve=False,
        certificate=holder.certificate,
        key=holder.key,
        authority=(files or one.parties).authority,
    )
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(one.hosts[to]), server_hostname=to)


def test_a_stolen_certificate_does_not_make_another_party(consortium):
    one = consortium(3)
    hello = Hello("registry", AGREEMENT, 0)

    def steal():
        with dial(one, "insurer", "hospital") as connection:
            write_frame(connection, Kind.HELLO, hello.encode())
            connection.recv(1 << 16)

    thief = threading.Thread(target=steal)
    thief.start()
    ended = one.run(products, registry=None)
    thief.join()

    assert "'registry' shows the certificate of 'insurer'" in str(ended["hospital"])


@pytest.mark.parametrize("says", ["nothing", "http", "foreign"])
def test_strangers_are_turned_away_and_stop_nobody(consortium, says, tmp_path):
    one = consortium()
    foreign = make_parties(tmp_path / "foreign", ["hospital", "insurer"])
    silent = socket.create_connection(one.hosts["hospital"])
    try:
        if says == "http":
            silent.sendall(b"GET / HTTP/1.1\r\n\r\n")
        if says == "foreign":
            threading.Thread(target=_knock, args=(one, foreign), daemon=True).start()
        ended = one.run(lambda session: products(session.engine))
    finally:
        silent.close()
    assert ended["hospital"][0] == 3


def _knock(one, foreign):
    try:
        with dial(one, "insurer", "hospital", files=foreign) as connection:
            connection.recv(1)
    except OSError:
        pass


def test_who_does_not_come_is_named_with_its_place(consortium):
    one = consortium(gather=1)
    ended = one.run(products, insurer=None)

    place = "party 'insurer' ({}:{})".format(*one.hosts["insurer"])
    assert f"{place} did not come within 1 s" in str(ended["hospital"])
    assert "'insurer'" in str(ended["dealer"])


@pytest.mark.parametrize("owners", [2, 3])
def test_an_error_of_one_ends_all_at_once_and_keeps_its_text_to_itself(consortium, owners):
    def program(session):
        for step in range(50):
            if session.engine.party == 1 and step == 10:
                raise RuntimeError("patient 4711")
            products(session.engine)

    started = time.monotonic()
    ended = consortium(owners, timeout=20).run(program)

    assert time.monotonic() - started < 10
    assert isinstance(ended.pop("insurer"), RuntimeError)
    # The dealer may have dealt all there was before.
    ended.pop("dealer")
    assert all(isinstance(error, PartyLost) for error in ended.values())
    said = str(ended["hospital"])
    assert "party 'insurer'" in said
    assert "RuntimeError" in said
    assert "in round 30" in said
    assert not any("4711" in str(error) for error in ended.values())


def test_a_refusal_keeps_its_text_to_itself_too(consortium):
    def program(session):
        if session.engine.party == 0:
            raise InvalidInput("row 3 of visits.csv: 'Jane Doe' is no number")
        products(session.engine)

    ended = consortium().run(program)
    assert "InvalidInput" in str(ended["insurer"])
    assert "Jane" not in str(ended["insurer"])


def what_owners_say(consortium, program) -> str:
    ended = consortium().run(program)
    return str(ended["hospital"]) + str(ended["insurer"])


def test_parties_that_lost_step_notice(consortium):
    def program(session):
        if session.engine.deals:
            return
        site = "first" if session.engine.party else "second"
        session.engine.open("second", np.zeros(2, dtype=np.uint64))
        session.engine.open(site, np.zeros(2, dtype=np.uint64))

    said = what_owners_say(consortium, program)
    assert "in round 2 (second)" in said
    assert "16 bytes of 'second'" in said or "16 bytes of 'another step'" in said


def test_messages_of_another_size_are_refused(consortium):
    def program(session):
        if not session.engine.deals:
            session.engine.open("site", np.zeros(2 + session.engine.party, dtype=np.uint64))

    said = what_owners_say(consortium, program)
    assert "bytes of 'site' in its round 1 where" in said
    assert "sent 24" in said or "sent 16" in said


def test_who_ends_early_is_named(consortium):
    def program(session):
        if session.engine.party != 1:
            products(session.engine)

    assert "party 'insurer'" in str(consortium().run(program)["hospital"])


def test_a_party_that_computes_for_longer_than_the_time_out_is_waited_for(consortium):
    def program(session):
        if session.engine.party == 1:
            time.sleep(2.5)
        return products(session.engine)[0] if not session.engine.deals else products(session.engine)

    ended = consortium(timeout=1).run(program)
    assert (ended["hospital"], ended["insurer"]) == (3, 3)
