"""What a long run is judged by: its samples, what was watched and heard, and its receipts. Nothing here looks at the world."""

import re
from collections import Counter

import trend

TARGET = 6
# KiB in an hour; from how many seconds on a life is judged by it; KiB by which the second half of a shorter one may rise, and
# how short it may be to say anything; seconds after which a sample tells something new; standard errors.
SLOPE_KIB, LONG, RISE_KIB, SHORT, APART, ERRORS = 1024, 2400, 8192, 600, 60, 3
KEPT_BYTES = 512
GROWN, GROWN_AFTER = 1.2, 600
# Descriptors and threads by which the medians of the second and the last quarter may differ.
FILES, THREADS = 5, 8
# How much more the disk may hold in the last third of the time when nothing is kept for longer, and how long that is at least.
# How many lists a mirror has taken, and with them its blocks, differs by a twentieth with what else the host does.
FULLER, SETTLED = 1.08, 1200
# Kinds of receipts that are no segments.
LIFE = {"ledger_open", "item_started", "order_accepted", "clock_step", "catalog_changed", "ipns_reserved", "key_rotated", "checkpoint"}


def parse(text):
    """The metrics of a node."""
    return {name: float(value) for name, value in re.findall(r"^(ipfs_radio_\S+) (\S+)$", text, re.MULTILINE)}


def p99(before, after):
    """The bound in seconds under which 99 of 100 batches of receipts became durable between two looks; `None` without any."""
    bucket = "ipfs_radio_ledger_append_seconds_bucket"
    counts = [(float(name.split('"')[1]), value - before.get(name, 0)) for name, value in after.items() if name.startswith(bucket)]
    total = max((count for _, count in counts), default=0)
    return min(bound for bound, count in counts if count >= 0.99 * total) if total else None


def lives(samples, who):
    """The samples of one node, by the life of its process, as (t, rss_kib, fds, threads, blocks)."""
    of = {}
    for line in samples:
        node = line[who]
        of.setdefault(node["life"], []).append((line["t"], node["rss_kib"], node["fds"], node["threads"], node["blocks"]))
    return [life for life in of.values() if life[-1][0] - life[0][0] >= SHORT]


def memory(life):
    """What is wrong with the memory of one life, and the figures."""
    begun, ended = life[0][0], life[-1][0]
    seconds = ended - begun
    late = [sample for sample in life if sample[0] >= begun + seconds / 4]
    slope, error = trend.fit([(t, rss) for t, rss, *_ in late], APART)
    kept = max(0.0, trend.fit([(t, blocks) for t, *_, blocks in late], APART)[0]) * KEPT_BYTES / 1024
    half = trend.fit([(t, rss) for t, rss, *_ in life if t >= begun + seconds / 2], APART)[0] * seconds / 2
    allowed = SLOPE_KIB + 3600 * (kept + ERRORS * error)
    figures = {"hours": round(seconds / 3600, 2), "slope_kib_h": round(3600 * slope), "error_kib_h": round(3600 * error),
               "kept_kib_h": round(3600 * kept), "rise_second_half_kib": round(half)}
    wrong = []
    if seconds >= LONG and 3600 * slope > allowed:
        wrong.append(f"RSS rises by {3600 * slope:.0f} KiB in an hour; {allowed:.0f} are allowed")
    if seconds < LONG and half > RISE_KIB:
        wrong.append(f"RSS rises by {half:.0f} KiB in the second half of {seconds:.0f} s")
    early = [rss for t, rss, *_ in life if abs(t - begun - GROWN_AFTER) <= GROWN_AFTER / 3]
    end = [rss for _, rss, *_ in life[-max(3, len(life) // 20):]]
    if early and seconds >= LONG:
        grown = trend.median(end) / trend.median(early)
        figures["end_by_ten_minutes"] = round(grown, 3)
        if grown > GROWN:
            wrong.append(f"RSS ends at {grown:.2f} of what it was after ten minutes")
    return wrong, figures


def steady(life):
    """What is wrong with descriptors and threads."""
    wrong = []
    for index, name, slack in ((2, "descriptors", FILES), (3, "threads", THREADS)):
        before, after = trend.quarters([sample[index] for sample in life])
        if after > before + slack:
            wrong.append(f"{name} rise from {before:.0f} to {after:.0f}")
    return wrong


def adopted(t, starts, kept):
    """For how many seconds longer than `kept` there are blocks at `t`: a start keeps what no receipt tells of for as long once
    more, but not what a start before it has adopted."""
    first = next((start for start in starts if t - kept < start <= t), None)
    if first is None:
        return 0.0
    before = max((start for start in starts if start < first), default=0.0)
    return max(0.0, t - kept - max(before, first - kept))


def disk(samples, who, kept):
    """What is wrong with the disk once nothing that is put is kept longer than the run has lasted; and the figures. `kept`:
    how long that is, in seconds."""
    starts = [after["t"] for before, after in zip(samples, samples[1:]) if after[who]["life"] != before[who]["life"]]
    settled = [(line["t"], line[who]["disk_kib"], line[who]["blocks"]) for line in samples if line["t"] >= kept]
    if not settled or settled[-1][0] - settled[0][0] < SETTLED:
        return [], {"disk": f"not judged: {samples[-1]['t']:.0f} s are too short, {kept + SETTLED:.0f} are needed"}
    third = max(1, len(settled) // 3)
    figures, wrong = {}, []
    mean = lambda values: sum(values) / len(values)
    early, late = (mean([kept + adopted(t, starts, kept) for t, *_ in part]) for part in (settled[:third], settled[-third:]))
    allowed = FULLER * max(1.0, late / early)
    if allowed > FULLER:
        figures["disk_allowed"] = round(allowed, 2)
    for index, name in ((1, "disk_kib"), (2, "blocks")):
        before, after = (mean([sample[index] for sample in part]) for part in (settled[:third], settled[-third:]))
        figures[name] = [round(before), round(after)]
        if after > allowed * before:
            wrong.append(f"{name} rises from {before:.0f} to {after:.0f} when everything that goes has gone")
    return wrong, figures


def receipts(lines, listed, joins):
    """What is wrong with the receipts, beside their chain, which `receipts verify` has seen; and the figures. `listed`: the
    segments that a list has named, by number; `joins`: the items that began among them."""
    wrong, kinds = [], Counter(line["kind"] for line in lines)
    if [line["seq"] for line in lines] != list(range(len(lines))):
        wrong.append("the numbers of receipts have a gap")
    aired = {line["media_seq"]: line for line in lines if line["kind"] == "segment"}
    first, last = min(aired, default=0), max(aired, default=-1)
    if not aired or len(aired) != kinds["segment"] or len(aired) != last - first + 1:
        wrong.append(f"{kinds['segment']} receipts of segments for the numbers {first} to {last}")
    others = set(kinds) - LIFE - {"segment"}
    if others:
        wrong.append(f"receipts of {', '.join(sorted(others))}")
    for number, (cid, pdt) in listed.items():
        receipt = aired.get(number)
        if not receipt or receipt["cid"] != cid or abs(receipt["pdt"] - pdt) > 0.002:
            wrong.append(f"segment {number} was listed and has no receipt of the same")
            break
    unlisted = [number for number in aired if number < max(listed, default=0) and number not in listed]
    if unlisted:
        wrong.append(f"{len(unlisted)} segments have a receipt and were never listed, the first is {unlisted[0]}")
    if kinds["item_started"] < joins:
        wrong.append(f"{kinds['item_started']} receipts of items for {joins} that began")
    return wrong, {"receipts": len(lines), "kinds": dict(sorted(kinds.items()))}


def order(aired, orders):
    """Items that do not follow each other in any of the orders that were in force."""
    allowed = {pair for paths in orders for pair in zip(paths, paths[1:] + paths[:1])}
    return [f"{after} airs after {before}, in no order that there was" for before, after in zip(aired, aired[1:])
            if (before, after) not in allowed]


def verdict(run):
    """What is not good enough, as {criterion: [words]}, and the figures. `run`: a dict with samples, faults, lead (seconds before
    its air that the latest segment came, by node), aired, orders, heard (the player's: faults, gaps, seconds, wanted), verified
    (exit code), receipts, listed, joins, stopped (exit codes), kept (seconds)."""
    samples = run["samples"]
    wrong = {"gap": [f"{at} s: {words}" for at, words in run["faults"] + run["heard"]["faults"]],
             "order": order(run["aired"], run["orders"]), "memory": [], "files": [], "disk": []}
    wrong["gap"] += [f"{who}: a segment came {-lead:.1f} s after its air began" for who, lead in run["lead"].items() if lead < -2 * TARGET]
    wrong["gap"] += [f"the player was dry for {length:.2f} s at {at:.0f} s" for at, length in run["heard"]["gaps"]]
    if run["heard"]["seconds"] < run["heard"]["wanted"]:
        wrong["gap"].append(f"the player heard {run['heard']['seconds']:.0f} s of {run['heard']['wanted']:.0f}")
    if (slid := samples[-1]["seq"] - samples[0]["seq"]) * TARGET < samples[-1]["t"] - samples[0]["t"] - 10 * TARGET:
        wrong["gap"].append(f"only {slid} segments in {samples[-1]['t'] - samples[0]['t']:.0f} s")
    if not run["aired"]:
        wrong["gap"].append("no item was decoded")
    figures = {"seconds": samples[-1]["t"], "samples": len(samples), "segments": len(run["listed"]), "items_decoded": len(run["aired"]),
               "player_seconds": round(run["heard"]["seconds"]), "lead_min_s": {who: round(lead, 1) for who, lead in run["lead"].items()},
               "sync_p99_ms_worst": max((line["sync_p99_ms"] or 0 for line in samples), default=0)}
    for who in ("station", "mirror"):
        parts = [memory(life) for life in lives(samples, who)]
        wrong["memory"] += [f"{who}: {words}" for words_of, _ in parts for words in words_of]
        wrong["files"] += [f"{who}: {words}" for life in lives(samples, who) for words in steady(life)]
        words_of, of_disk = disk(samples, who, run["kept"])
        wrong["disk"] += [f"{who}: {words}" for words in words_of]
        spans = {name: [min(line[who][name] for line in samples), max(line[who][name] for line in samples)]
                 for name in ("rss_kib", "fds", "threads")}
        figures[who] = {**spans, "lives": samples[-1][who]["life"] + 1, **of_disk, "memory": [figures_of for _, figures_of in parts]}
    wrong["receipts"], figures["ledger"] = receipts(run["receipts"], run["listed"], run["joins"])
    if run["verified"] != 0:
        wrong["receipts"].append(f"`receipts verify` ends with {run['verified']}")
    wrong["spot check"] = [f"at {line['t']:.0f} s" for line in samples if not line["spot_check_ok"]]
    wrong["stop"] = [f"{who} ended with {code}" for who, code in run["stopped"].items() if code != 0]
    return {name: words for name, words in wrong.items() if words}, figures
