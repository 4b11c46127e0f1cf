"""All mutants of a crate in one program, each behind a switch.

A mutant is a piece of a file and what stands there instead. What is around the piece is written twice, as it is and as
the mutant has it, and `crate::switch::on(number)` chooses. What is written for one mutant has no switches in it, so that
the program grows with the number of mutants and not with how they are nested.
"""

import bisect, collections, dataclasses, json, os, pathlib, re, shlex, shutil, subprocess, sys

CARGO = shlex.split(os.environ.get("CARGO_COMMAND", "cargo"))
HELPER = """[package]
name = "schemata"
version = "0.0.0"
edition = "2024"
[[bin]]
name = "schemata"
path = {path}
[dependencies]
proc-macro2 = {{ version = "1", features = ["span-locations"] }}
syn = {{ version = "2", default-features = false, features = ["full", "parsing", "printing", "visit"] }}
[workspace]
"""
# No value of that name, or none that is of the type of the function: so it is wherever the value stands.
OF_A_TYPE = ("E0061", "E0277", "E0308", "E0599", "E0790")
FEATURES = "#![feature(core_intrinsics, const_eval_select, const_trait_impl)]\n#![allow(internal_features)]\n"


@dataclasses.dataclass
class Mutant:
    key: str
    file: str
    genre: str
    start: int
    end: int
    text: str
    # Whether it may be computed while building, where no switch can be asked.
    constant: bool
    # The value of a function whose type is not hidden.
    plain_value: bool
    number: int = 0
    # The piece that is written twice.
    around: tuple = None
    # Why the program cannot hold it.
    alone: str = ""

    def apply(self, source):
        return source[: self.start] + self.text + source[self.end :]


class Text:
    """A file, and lines and columns in it as positions."""

    def __init__(self, path):
        self.text = path.read_text()
        self.lines = [0] + [found.end() for found in re.finditer("\n", self.text)]

    def at(self, line, column):
        return self.lines[line - 1] + column - 1

    def line(self, position):
        start = self.lines[bisect.bisect(self.lines, position) - 1]
        return self.text[start : self.text.find("\n", position)].strip()


def discover(tool, root, options):
    """What cargo-mutants would do, in the order of the sources."""
    listed = subprocess.run([tool, "mutants", "--list", "--json", *options], cwd=root, stdout=subprocess.PIPE, text=True)
    if listed.returncode:
        sys.exit("cargo-mutants cannot list the mutants")
    texts, mutants, seen = {}, [], {}
    for told in json.loads(listed.stdout):
        text = texts.setdefault(told["file"], Text(root / told["file"]))
        span = told["span"]
        start, end = (text.at(span[edge]["line"], span[edge]["column"]) for edge in ("start", "end"))
        name = re.sub(r":\d+:\d+: ", ": ", told["name"], count=1)
        key = f"{name} | {text.line(start)}"
        place = told["function"] and told["function"]["span"]["start"]
        constant = not place or "const fn" in text.text[text.at(place["line"], place["column"]) : start]
        plain_value = told["genre"] == "FnValue" and not re.search(r"\bimpl\b", told["function"]["return_type"])
        mutant = Mutant(key, told["file"], told["genre"], start, end, told["replacement"], constant, plain_value)
        mutants.append(mutant)
    mutants.sort(key=lambda mutant: (mutant.file, mutant.start))
    for number, mutant in enumerate(mutants):
        mutant.number = number
        seen[mutant.key] = seen.get(mutant.key, 0) + 1
        mutant.key += f" #{seen[mutant.key]}" if seen[mutant.key] > 1 else ""
    return texts, mutants


def place(work, root, texts, mutants):
    """Finds the piece around each mutant."""
    helper = work / "schemata"
    helper.mkdir(exist_ok=True)
    source = root / "scripts/lib/schemata.rs"
    (helper / "Cargo.toml").write_text(HELPER.format(path=json.dumps(str(source))))
    env = dict(os.environ, CARGO_TARGET_DIR=str(work / "target-schemata"))
    if subprocess.run([*CARGO, "build", "--quiet"], cwd=helper, env=env).returncode:
        sys.exit("the reader of the sources cannot be built")
    files = list(texts)
    told = subprocess.run([work / "target-schemata/debug/schemata", *(root / file for file in files)],
                          stdout=subprocess.PIPE, text=True, check=True)
    places = {}
    for line in told.stdout.splitlines():
        what, file, *numbers = line.split(" ")
        file, numbers = files[int(file)], [int(number) for number in numbers]
        places.setdefault((file, what), []).append((texts[file].at(*numbers[:2]), texts[file].at(*numbers[2:])))
    for mutant in mutants:
        find(mutant, lambda what: places.get((mutant.file, what), []))


def find(mutant, places):
    kind = {"BinaryOperator": "operators", "UnaryOperator": "negation", "StructField": "struct"}.get(mutant.genre)
    if mutant.genre == "FnValue":
        mutant.around = (mutant.start, mutant.start)
        mutant.alone = "" if mutant.plain_value else "two values of a hidden type"
    elif mutant.genre == "MatchArm":
        ends = [end for start, end in places("arm") if start == mutant.start]
        mutant.around = (ends[0], ends[0]) if ends else None
    elif mutant.genre == "MatchArmGuard":
        mutant.around = (mutant.start, mutant.end)
    elif any(start == mutant.start for start, _ in places("chained")):
        mutant.alone = "unviable: only && may join let"
    elif kind:
        around = [place for place in places(kind) if place[0] <= mutant.start and mutant.end <= place[1]]
        mutant.around = min(around, key=lambda place: place[1] - place[0], default=None)
    if not mutant.around and not mutant.alone:
        mutant.alone = "no place"


class Writer:
    """One file with its mutants, and where in the result each of them stands."""

    def __init__(self, source, mutants):
        self.source, self.out, self.length, self.ranges = source, [], 0, []
        pieces = {}
        for mutant in mutants:
            pieces.setdefault((mutant.around, mutant.genre == "MatchArmGuard"), []).append(mutant)
        # What is put before a piece, then an outer piece before those in it; a guard is outside of its operators.
        order = sorted((start, start != end, -end, not guard) for (start, end), guard in pieces)
        self.pieces = [((start, -end), pieces[(start, -end), not inner]) for start, _, end, inner in order]
        self.next = 0
        self.write(0, len(source))

    def put(self, text):
        self.out.append(text)
        self.length += len(text)

    def write(self, start, end):
        while self.next < len(self.pieces) and self.pieces[self.next][0][1] <= end:
            (begins, ends), mutants = self.pieces[self.next]
            if begins < start or begins > end:
                break
            self.next += 1
            self.put(self.source[start:begins])
            self.piece(begins, ends, mutants)
            start = ends
        self.put(self.source[start:end])

    def piece(self, begins, ends, mutants):
        outside = self.length
        if mutants[0].genre == "MatchArm":
            self.put("".join(f" if !crate::switch::on({mutant.number})" for mutant in mutants))
        elif mutants[0].genre == "FnValue":
            for mutant in mutants:
                self.one(mutant, f"if crate::switch::on({mutant.number}) {{ return ", mutant.text, "; }\n")
        else:
            self.put("(")
            for mutant in mutants:
                text = self.source[begins : mutant.start] + mutant.text + self.source[mutant.end : ends]
                self.one(mutant, f"if crate::switch::on({mutant.number}) {{ (", text, ") } else ")
            self.put("{ (")
            self.write(begins, ends)
            self.put(") })")
        self.ranges.append((outside, self.length, [mutant.number for mutant in mutants]))

    def one(self, mutant, before, text, behind):
        begins = self.length
        self.put(before)
        self.put(text)
        self.put(behind)
        self.ranges.append((begins, self.length, [mutant.number]))

    def at(self, position):
        """The mutants of the smallest piece that holds this position."""
        around = [(end - start, numbers) for start, end, numbers in self.ranges if start <= position < end]
        return min(around, default=(0, []))[1]


def copy(root, tree):
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(root, tree, ignore=shutil.ignore_patterns("target", ".git", "state", "processed", "music"))


def build(work, tree, again=False):
    """`again` is whether the tree is built once more with little changed."""
    env = dict(os.environ, CARGO_TARGET_DIR=str(work / "target"), RUSTC_BOOTSTRAP="ipfs_radio")
    env.update(CARGO_PROFILE_RELEASE_INCREMENTAL=str(again).lower(), CARGO_PROFILE_RELEASE_LTO="off")
    env.update(CARGO_PROFILE_RELEASE_OPT_LEVEL="1")
    command = [*CARGO, "test", "--release", "--no-default-features", "--lib", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    errors = [one["message"] for one in told if one["reason"] == "compiler-message" and one["message"]["level"] == "error"]
    made = [one["executable"] for one in told if one.get("executable")]
    if not made and not errors:
        sys.exit(f"the copy cannot be built:\n{built.stderr[-2000:]}")
    return (made[0] if made else None), errors


def plain(root, tree):
    """A copy whose warnings are none of our business."""
    copy(root, tree)
    manifest = tree / "Cargo.toml"
    manifest.write_text(re.sub(r"^\[lints\.\w+\]\n(?:.+\n)*", "", manifest.read_text(), flags=re.M))
    lib = tree / "src/lib.rs"
    docs, rest = re.match(r"((?://![^\n]*\n)*)(.*)", lib.read_text(), re.S).groups()
    lib.write_text(f"{docs}#![allow(warnings, arithmetic_overflow, unconditional_panic)]\n{rest}")


def together(work, root, texts, mutants, tell, keep):
    """The program with all mutants that it can hold; the others are marked as `alone`, and kept."""
    tree = work / "tree"
    plain(root, tree)
    shutil.copy(root / "scripts/lib/switch.rs", tree / "src/switch.rs")
    lib = tree / "src/lib.rs"
    docs, rest = re.match(r"((?://![^\n]*\n)*)(.*)", lib.read_text(), re.S).groups()
    lib.write_text(docs + FEATURES + rest + "\npub(crate) mod switch;\n")
    while True:
        written = {}
        for file in texts:
            held = [mutant for mutant in mutants if mutant.file == file and not mutant.alone]
            written[file] = Writer(texts[file].text, held)
            (tree / file).write_text("".join(written[file].out))
        made, errors = build(work, tree)
        if made:
            return made
        dropped = blame(mutants, written, errors, tree)
        keep()
        for why, many in collections.Counter(mutants[number].alone for number in dropped).most_common():
            tell(f"{many} mutants are left out: {why[:160]}")
        if not dropped:
            sys.exit("the copy cannot be built:\n" + "\n".join(error["rendered"] for error in errors[:5]))


def blame(mutants, written, errors, tree):
    dropped = set()
    for error in errors:
        spans = [span for span in error["spans"] if span["is_primary"]] + error["spans"]
        for span in spans:
            if span["file_name"] not in written:
                continue
            text = "".join(written[span["file_name"]].out)
            position = len(text.encode()[: span["byte_start"]].decode())
            numbers = written[span["file_name"]].at(position)
            if numbers:
                for number in numbers:
                    sure = mutants[number].plain_value and (error["code"] or {}).get("code") in OF_A_TYPE
                    mutants[number].alone = ("unviable: " if sure else "") + error["message"]
                dropped.update(numbers)
                break
    return dropped
