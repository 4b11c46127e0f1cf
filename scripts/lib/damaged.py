"""Scenarios: files that are not what was written there, and states that are lost. For scripts/faults."""

import json
import re
import shutil
import subprocess
import time

from observing import Seen
from playlist import fetch
from station import binary


def spoil(path, how, at=None):
    """Flips a bit (of the byte `at`, or in the middle), cuts, empties or deletes."""
    body = bytearray(path.read_bytes())
    path.chmod(0o600)
    if how == "flipped":
        body[len(body) // 2 if at is None else at] ^= 4
    elif how == "cut":
        del body[len(body) // 2 :]
    elif how == "emptied":
        body.clear()
    if how == "deleted":
        path.unlink()
    else:
        path.write_bytes(body)


def block_file(repo, cid):
    """Where a repo keeps a block (flatfs, next-to-last/2)."""
    return repo / "blockstore" / cid[-3:-1] / f"{cid}.data"


HOW = ("flipped", "cut", "emptied", "deleted")
# An item that was whole a while ago is looked at again when its turn comes: within one round of the order (streamer/ahead.rs), and some.
ROUND = 121 + 20
# One that was not, and a setup that failed, are tried again after a minute (streamer/ahead.rs, child.rs), which takes a moment.
AGAIN = 60 + 20


def entries(node):
    """The paths of the running order."""
    return [line for line in (node.folder / "processed" / "playlist.m3u").read_text().splitlines() if line and not line.startswith("#")]


def chunks(node, path):
    """The chunks of the entry at `path`."""
    processed = node.folder / "processed"
    manifest = json.loads((processed / "manifest.json").read_text())
    item = next(entry["id"] for entry in manifest["entries"] if entry["path"] == path)
    text = next((processed / "tracks" / "audio" / item / "stream").glob("*.m3u8")).read_text()
    return [processed / "chunks" / f"{line.removesuffix('.ts')}.ts" for line in text.split("\n") if line and not line.startswith("#")]


def corrupt_chunk(trial):
    """a chunk of an item that is to air is flipped, cut, emptied, deleted: it is made anew from its recording"""
    node = trial.station()
    node.start()
    trial.observe(node)
    # Setup of the start looks at all chunks, and would mend one before the air has seen it.
    trial.settles(node)
    for number, how in enumerate(HOW):
        path = entries(node)[-1 - number]
        chunk = chunks(node, path)[0]
        whole = chunk.read_bytes()
        spoil(chunk, how)
        # It stands until the item is whole again and has been looked at.
        trial.tells(node, "programme: ", path, chunk.name, "it is being made anew", seconds=ROUND)
        trial.wait(f"{path} to be made anew ({how})", lambda: chunk.exists() and chunk.read_bytes() == whole)
    trial.is_well(node)


def corrupt_chunk_no_setup(trial):
    """the same without setup beside the air: the operator is told what to run, and that helps"""
    node = trial.station()
    path = entries(node)[-1]
    spoil(chunks(node, path)[0], "flipped")
    node.start("--no-setup")
    trial.observe(node)
    trial.tells(node, "programme: ", path, "`ipfs-radio setup --repair` makes it anew")
    subprocess.run([binary(), "--dir", str(node.folder), "setup", "--repair"], check=True, capture_output=True)
    trial.is_well(node, AGAIN)


def corrupt_block(trial):
    """listed blocks in the repo are flipped, cut, emptied, deleted: who asks gets them whole"""
    node = trial.station()
    node.start()
    trial.observe(node)
    for how, segment in zip(HOW * 2, trial.listed(node).segments[-8:]):
        cid = segment.uri.removeprefix("/ipfs/").split("?")[0]
        spoil(block_file(node.folder / "state" / "ipfs", cid), how)
        body = fetch(f"{node.url}/ipfs/{cid}", 60)
        trial.say(block_file(node.folder / "state" / "ipfs", cid).read_bytes() == body, f"{cid} was {how} and is not there again")
    trial.goes_on(node)
    trial.is_well(node)


def corrupt_manifest(trial):
    """manifest.json is flipped, cut, emptied, deleted while on air: the order plays on, and it is made anew"""
    node = trial.station()
    node.start()
    trial.observe(node)
    manifest = node.folder / "processed" / "manifest.json"
    whole = manifest.read_bytes()
    # The generator works before the mending, one child at a time.
    trial.settles(node)
    for how in HOW:
        # In the middle there may be a digit, and another one is as good: that would be another manifest, not a damaged one.
        so_far = node.log.stat().st_size
        spoil(manifest, how, at=0)
        # For how long health has the words depends on how quick setup is; the log keeps them.
        trial.has_told(node, so_far, 'topic="order"', str(manifest), "the last accepted order plays on", "it is being made anew")
        trial.wait(f"the manifest to be made anew ({how})", lambda: manifest.exists() and manifest.read_bytes() == whole, 150)
        trial.is_well(node)


def corrupt_playlist(trial):
    """playlist.m3u is rubbish while on air: the accepted order plays on until it is put right"""
    node = trial.station()
    node.start("--no-setup")
    trial.observe(node)
    order = node.folder / "processed" / "playlist.m3u"
    whole = order.read_bytes()
    for bad in (b"", b"\x00\xff\xfe" * 1000, b"#EXTM3U\nmusic/none.flac\n", bytes(range(256)) * 4096):
        order.write_bytes(bad)
        trial.tells(node, "order: ", "playlist.m3u", "the last accepted order plays on")
        order.write_bytes(whole)
        trial.is_well(node)
    order.write_bytes(whole + b"music/none.flac\n")
    trial.tells(node, "order: ", "playlist.m3u", "music/none.flac")
    order.write_bytes(whole)
    trial.is_well(node)


def corrupt_config(trial):
    """a configuration that cannot be understood: refused with file, line and column; on air nothing happens"""
    node = trial.station()
    toml = node.folder / "streaming.toml"
    whole = toml.read_text()
    for bad, words in (("[streaming]\nwindow = 3\n", ("streaming.toml:2:", "window")), ("[streaming\n", ("streaming.toml:1:",)),
                       ("[streaming]\nwindow_size = 5\n", ("streaming.toml:2:", "6")), ("\x00\x01", ("streaming.toml:1:",))):
        toml.write_text(bad)
        trial.refuses(78, words, "run")
    toml.write_bytes(b"\xff\xfe")
    trial.refuses(78, ("streaming.toml",), "run")
    toml.write_text(whole)
    node.start()
    trial.observe(node)
    setup = node.folder / "setup.toml"
    good = setup.read_text()
    setup.write_text("[audio]\nsegment_duration = 99\n")
    trial.tells(node, "setup: ", "`ipfs-radio setup`", seconds=100)
    trial.refuses(78, ("setup.toml:2:", "30"), "setup")
    setup.write_text(good)
    trial.is_well(node, AGAIN)


def corrupt_key(trial):
    """a key that is flipped, cut, emptied, deleted: refused with the way back, and the name is never another"""
    node = trial.station()
    node.start()
    names = node.status["stream"], node.status["station"]
    node.stop()
    backup = trial.scratch / "backup.keys"
    subprocess.run([binary(), "--dir", str(node.folder), "key", "export", str(backup)], check=True, capture_output=True)
    keys = node.folder / "state" / "keys"
    for name in ("peer.key", "stream.key", "station.key", "receipts.toml"):
        whole = (keys / name).read_bytes()
        for how in HOW:
            spoil(keys / name, how)
            trial.refuses(1, ("key import FILE", name.split(".")[0]), "run")
            (keys / name).write_bytes(whole)
    shutil.rmtree(keys)
    trial.refuses(1, ("key import FILE",), "run")
    subprocess.run([binary(), "--dir", str(node.folder), "key", "import", str(backup)], check=True, capture_output=True)
    node.start()
    trial.observe(node)
    trial.say(names == (node.status["stream"], node.status["station"]), "the names are others")
    trial.goes_on(node)
    trial.is_well(node)


def corrupt_ledger(trial):
    """the ledger is emptied, flipped in the middle, cut: on air again above all its numbers, degraded, and it says where the old one is"""
    node = trial.station()
    seen = Seen()
    node.start()
    observer = trial.observe(node, seen=seen)
    trial.goes_on(node, 5)
    # What is emptied first is lost without a trace: nobody has been asked to keep anything.
    for how in ("emptied", "flipped", "cut"):
        before = trial.listed(node)
        node.stop()
        ledger = sorted((node.folder / "state" / "ledger").glob("*.jsonl"))[-1]
        text = ledger.read_bytes().rstrip(b"\x00")
        ledger.chmod(0o600)
        ledger.write_bytes({"flipped": text[: len(text) // 2] + bytes([text[len(text) // 2] ^ 4]) + text[len(text) // 2 + 1 :],
                            "cut": text[len(text) // 2 :], "emptied": b"\x00" * 4096}[how])
        observer.anew = True
        node.start()
        # Nobody knows where the old chain ended: the list begins anew, far above.
        trial.say(trial.listed(node).first > before.end, f"{how}: begins at {trial.listed(node).first}, not above {before.end}")
        trial.tells(node, "receipts: ", "there is no ledger" if how == "emptied" else "ledger.damaged-")
        trial.goes_on(node)
        run = subprocess.run([binary(), "--dir", str(node.folder), "receipts", "verify"], capture_output=True, text=True)
        trial.say(run.returncode == 0, f"{how}: the new ledger does not hold: {run.stdout + run.stderr}")
    trial.may_run_out = True


def corrupt_rest(trial):
    """projections and caches are rubbish at the start: nobody reads them back, or they are made anew"""
    node = trial.station()
    node.start()
    seen = Seen()
    observer = trial.observe(node, seen=seen)
    state = node.folder / "state"
    for bad in (b"", b"{", bytes(range(256)) * 64):
        node.stop()
        for name in ("sequence_state.json", "health.json", "stat-cache.json", "order.m3u", "new-epoch"):
            (state / name).write_bytes(bad)
        node.start()
        trial.goes_on(node)
        trial.is_well(node)
        trial.say(re.search(rb'"media_sequence":\d', (state / "sequence_state.json").read_bytes()), "sequence_state.json is not written anew")
    trial.say(observer.versions > 3, "the list did not go on")


def two_processes(trial):
    """a second node on the same state: refused with the process that holds it, and nothing happens to the first"""
    node = trial.station()
    node.start()
    trial.observe(node)
    trial.refuses(75, (".lock is held by another process", f"process {node.process.pid}", "end it"), "run")
    trial.goes_on(node)
    trial.is_well(node)


def same_key(trial):
    """the same keys on two hosts: one of them publishes no more, and says which to stop"""
    peer = trial.network()
    node = trial.station(peer=peer())
    node.start()
    trial.observe(node)
    trial.wait("a record", lambda: trial.status(node)["last_publish"])
    other = trial.station("other", peer=peer())
    shutil.copytree(node.folder / "state" / "keys", other.folder / "state" / "keys")
    other.start()
    trial.observe(other)
    words = ("split brain: ", "another node publishes", "stop the other node")
    last = {}
    def told():
        for at in (node, other):
            last[at] = trial.health(at)
            if all(word in last[at] for word in words):
                return last[at]
        return None
    began = time.monotonic()
    trial.told.append(trial.wait("split brain", told, 300))
    trial.figures["told_after_s"] = round(time.monotonic() - began, 1)
    for at in (node, other):
        trial.goes_on(at)


def above(trial, node, before, what):
    """A station that has come back is listed above all that it was known for."""
    now = trial.listed(node)
    trial.say(now.first >= before.end, f"{what}: begins at {now.first}, and {before.end - 1} was listed before")


def old_backup(trial):
    """a state restored from old backups, the newest of three first: numbers go on above what the network knows, each time"""
    peer = trial.network()
    node = trial.station(peer=peer())
    follower = trial.station("mirror", peer=peer(), furnished=False)
    ages = (3, 10, 20)
    for segments in ages:
        node.start()
        trial.goes_on(node, segments, 90)
        node.stop()
        shutil.copytree(node.folder / "state", trial.scratch / f"backup-{segments}")
    node.start()
    follower.start("--follow", node.status["station"])
    trial.goes_on(node, 30, 90)
    trial.goes_on(follower, 3)
    observer = None
    for segments in reversed(ages):
        before = trial.listed(node)
        sequence = trial.status(node)["last_publish"]["sequence"]
        trial.wait("the mirror to have it", lambda before=before: trial.listed(follower).end >= before.end, 90)
        observer = observer or trial.observe(follower)
        observer.anew = True
        node.stop()
        shutil.rmtree(node.folder / "state")
        shutil.copytree(trial.scratch / f"backup-{segments}", node.folder / "state")
        node.start()
        above(trial, node, before, f"backup after {segments} segments")
        trial.tells(node, "receipts: ", "backup")
        trial.wait("a record", lambda sequence=sequence: (trial.status(node)["last_publish"] or {}).get("sequence", 0) > sequence)
        trial.wait("the mirror to follow", lambda: trial.listed(follower).first >= trial.listed(node).first, 90)
        trial.wait("the observer to see it", lambda: not observer.anew)
    trial.say(observer.versions > 0, "the mirror was not read")
    trial.may_run_out = True


def lost_state(trial):
    """the whole state is lost: with the keys from a backup the station is back under its names, above what the network knows"""
    peer = trial.network()
    node = trial.station(peer=peer())
    # Somebody else has the names, or nobody knows anything of the old station.
    follower = trial.station("mirror", peer=peer(), furnished=False)
    node.start()
    follower.start("--follow", node.status["station"])
    names = node.status["stream"], node.status["station"]
    trial.goes_on(node, 3)
    before = trial.listed(node)
    trial.wait("the mirror to have it", lambda: trial.listed(follower).end >= before.end)
    before = trial.listed(node)
    trial.observe(follower).anew = True
    node.stop()
    backup = trial.scratch / "backup.keys"
    subprocess.run([binary(), "--dir", str(node.folder), "key", "export", str(backup)], check=True, capture_output=True)
    shutil.rmtree(node.folder / "state")
    subprocess.run([binary(), "--dir", str(node.folder), "key", "import", str(backup)], check=True, capture_output=True)
    trial.figures["back_after_s"] = round(node.start(), 1)
    trial.say(names == (node.status["stream"], node.status["station"]), "the names are others")
    above(trial, node, before, "lost state")
    trial.wait("the mirror to follow", lambda: trial.listed(follower).first >= trial.listed(node).first, 90)
    trial.goes_on(follower)
    trial.tells(node, "receipts: ", "there is no ledger", "if the old receipts turn up, keep them")
    # Without a backup it is another station, and says so by its names.
    node.stop()
    shutil.rmtree(node.folder / "state")
    node.start()
    trial.say(names[0] != node.status["stream"], "new keys give old names")
    trial.is_well(node)
    trial.may_run_out = True


SCENARIOS = {"corrupt-chunk": corrupt_chunk, "corrupt-no-setup": corrupt_chunk_no_setup, "corrupt-block": corrupt_block,
             "corrupt-manifest": corrupt_manifest, "corrupt-playlist": corrupt_playlist, "corrupt-config": corrupt_config, "corrupt-key": corrupt_key,
             "corrupt-ledger": corrupt_ledger, "corrupt-rest": corrupt_rest, "two-processes": two_processes, "same-key": same_key,
             "old-backup": old_backup, "lost-state": lost_state}
