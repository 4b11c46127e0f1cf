"""A ledger of very many receipts, signed and chained as a station does it (docs: reliability §9), with nothing of ours. For
scripts/bench."""

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta, timezone

SECRET = bytes(range(32))
FILE_BYTES = 16 << 20
RATE, SAMPLES, PARTS = 44_100, 258 * 1_024, 35
ANCHOR = datetime(2025, 1, 1, tzinfo=timezone.utc)
FIRST = 1_735_689_600


def date(samples):
    at = ANCHOR + timedelta(milliseconds=round(samples * 1_000 / RATE))
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1_000:03}Z"


def cid(number):
    digest = hashlib.sha256(number.to_bytes(8, "big")).digest()
    return "b" + base64.b32encode(bytes.fromhex("01551220") + digest).decode().lower().rstrip("="), digest.hex()


class Ledger:
    """Writes `state/ledger` and `state/keys/receipts.toml` of `folder`."""

    def __init__(self, folder):
        self.folder = folder / "state" / "ledger"
        self.folder.mkdir(parents=True)
        keys = folder / "state" / "keys"
        keys.mkdir()
        (keys / "receipts.toml").write_text(f'[[key]]\nid = "r1"\nsecret = "{SECRET.hex()}"\nstate = "active"\ncreated = "{date(0)}"\n')
        self.key = hmac.digest(SECRET, b"receipt", "sha256")
        self.seq, self.prev, self.files, self.file, self.size, self.at = 0, "0" * 64, 0, None, 0, date(0)

    def line(self, kind, body):
        receipt = {**body, "v": 1, "kind": kind, "seq": self.seq, "prev": self.prev, "key_id": "r1", "node_id": "12D3KooW",
                   "stream": "k51stream", "produced_at": self.at}
        text = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        signature = hmac.digest(self.key, b"ipfs-radio/receipt/v1\n" + text.encode(), "sha256").hex()
        line = f'{{"r":{text},"sig":"{signature}"}}'.encode()
        self.seq, self.prev = self.seq + 1, hashlib.sha256(line).hexdigest()
        self.file.write(line + b"\n")
        self.size += len(line) + 1

    def add(self, kind, body):
        if not self.file or self.size >= FILE_BYTES:
            self.close()
            self.files, self.size = self.files + 1, 0
            self.file = open(self.folder / f"{self.files:06}.jsonl", "wb")
            self.line("ledger_open", {"epoch": 1, "anchor": date(0), "target_duration": 6, "rate": RATE})
        self.line(kind, body)

    def close(self):
        if self.file:
            self.file.close()

    def segments(self, receipts):
        """Airs until there are so many receipts. Gives how many segments there are."""
        count = 0
        order = hashlib.sha256(b"order").hexdigest()
        while self.seq < receipts:
            part = count % PARTS
            item = {"item": f"{count // PARTS % 500:032x}", "entry": f"music/Artist {count // PARTS % 500}/Title of a song.flac",
                    "item_kind": "track", "order": order, "position": count // PARTS % 500, "title": "Title of a song",
                    "artist": f"Artist {count // PARTS % 500}", "media_seq": FIRST + count, "air_samples": count * SAMPLES, "part": part,
                    "parts": PARTS}
            block, digest = cid(count)
            self.at = date(count * SAMPLES)
            if part == 0:
                self.add("item_started", {**item, "list": cid(1 << 40 | count // PARTS)[0], "album": "", "isrc": "", "samples": PARTS * SAMPLES})
            self.add("segment", {**item, "disc": part == 0, "disc_seq": 1 + count // PARTS, "epoch": 1, "pdt": date(count * SAMPLES),
                                 "samples": SAMPLES, "rate": RATE, "cid": block, "sha256_audio": digest, "byte_count": 97_000, "codec": "aac",
                                 "first_seq": FIRST + max(0, count - 100), "group_seq": 0, "group_end": 0})
            count += 1
        self.close()
        return count
