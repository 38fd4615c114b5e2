#!/usr/bin/env python3
"""Verifies this package without Sealpost: python3 verify.py FINGERPRINT [HASH ...]

FINGERPRINT is that of the site's first key, as you got it from the site by another way. Each HASH is that of a
statement that must be there, such as the last one of an earlier package.
Needs Python 3.8 or later, and openssl 3.0 or later or the Python package "cryptography". Exit code 0: all is as sealed.
"""
import base64, datetime, errno, hashlib, json, os, re, shutil, stat, subprocess, sys, tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
# What a file that was altered may lead to.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError)
# RFC 8032, 7.1, test 2: a key, what it signed, and the signature.
KNOWN_SIGNATURE = [bytes.fromhex(text) for text in (
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")]
faults = []


def opened(name):
    path = os.path.join(FOLDER, name)
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "it is not a plain file")
    return open(path, "rb")


def each(name, look):
    """Has `look` see the JSON object in each line of a file, and says how many lines there are."""
    count = 0
    try:
        with opened(name) as file:
            for count, line in enumerate(file, 1):
                place = "%s, line %d" % (name, count)
                try:
                    look(place, json.loads(line))
                except UNREADABLE as fault:
                    faults.append("%s can't be read: it was altered (%s)" % (place, type(fault).__name__))
    except OSError as fault:
        faults.append("%s can't be read: %s" % (name, fault.strerror))
    return count


def content(name):
    try:
        with opened(name) as file:
            return file.read()
    except OSError:
        return None


def sha256(octets):
    return hashlib.sha256(octets).hexdigest()


def hash_of_file(name):
    """The hash of a file, or None if it can't be read."""
    try:
        with opened(name) as file:
            made = hashlib.sha256()
            for octets in iter(lambda: file.read(1 << 20), b""):
                made.update(octets)
            return made.hexdigest()
    except OSError:
        return None


def octets_of(hexadecimal):
    """A hash or a key."""
    octets = bytes.fromhex(hexadecimal)
    if len(octets) != 32:
        raise ValueError("not 32 octets")
    return octets


def decoded(text):
    """Base64 (RFC 4648), of which only one text has the same octets."""
    octets = base64.b64decode(text, validate=True)
    if base64.b64encode(octets).decode() != text:
        raise ValueError("not the base64 of any octets")
    return octets


def is_signed(public_key, octets, signature):
    """Whether an Ed25519 key (RFC 8032) has made this signature."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, octets)
            return True
        except (InvalidSignature, ValueError):
            return False
    except ImportError:
        pass
    if shutil.which("openssl") is None:
        sys.exit("openssl is missing: install it (3.0 or later), or the Python package \"cryptography\".")
    with tempfile.TemporaryDirectory() as folder:
        # SubjectPublicKeyInfo of an Ed25519 key (RFC 8410).
        files = {"key": bytes.fromhex("302a300506032b6570032100") + public_key, "text": octets, "sig": signature}
        for name, written in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(written)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile sig"
        done = subprocess.run(command.split(), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0


def root_by_path(leaf, index, size, path):
    """The root of a Merkle tree (RFC 9162, section 2.1.3.2)."""
    if index < 0 or index >= size:
        return None
    place, last, root = index, size - 1, leaf
    for other in path:
        if last == 0:
            return None
        if place % 2 == 1 or place == last:
            root = hashlib.sha256(b"\x01" + other + root).digest()
            while place % 2 == 0 and place != 0:
                place, last = place >> 1, last >> 1
        else:
            root = hashlib.sha256(b"\x01" + root + other).digest()
        place, last = place >> 1, last >> 1
    return root if last == 0 else None


class Statements:
    """The statements, one after the other: numbered, each with the hash of the one before, signed by the key in effect."""

    def __init__(self):
        self.key = self.first_key = self.number = self.last = self.first = None
        self.seals, self.hashes, self.stamps, self.account = {}, set(), {}, Account()

    def see(self, place, kept):
        number, octets = kept["n"], kept["text"].encode()
        before, previous = self.number, self.last
        self.number, self.last = number, sha256(octets)
        statement, place = json.loads(octets), "statement %d" % number
        what = statement["what"]
        if statement["n"] != number:
            faults.append(place + " says that it is number %d: one was exchanged for the other" % statement["n"])
        if before is None:
            if what != "begun" or (number == 1 and statement["previous"] is not None):
                faults.append(place + " is not the first one of the record")
        elif number != before + 1:
            faults.append(place + " is not the one that follows statement %d: some are missing" % before)
        elif statement["previous"] != previous:
            faults.append(place + " does not name the one before: one of them was altered or exchanged")
        if what == "begun":
            begins = octets_of(statement["public_key"])
            if self.key is not None and self.key != begins:
                faults.append(place + " begins with a key that the one before did not announce")
            self.key = begins
        signature = decoded(kept["signature"])
        if self.key is None or sha256(self.key) != statement["key"] or not is_signed(self.key, octets, signature):
            faults.append(place + " is not signed by the key of the site: it was altered")
            return
        self.first_key, self.first = self.first_key or statement["key"], self.first or (number, statement["previous"])
        self.hashes.add(self.last)
        wrong = self.account.take(statement)
        if wrong:
            faults.append("%s %s" % (place, wrong))
        if what in ("checkpoint", "closed"):
            self.seals[number] = statement
        if what == "next-key":
            self.key = octets_of(statement["public_key"])
        if kept.get("stamp") is not None:
            stamp = decoded(kept["stamp"])
            self.stamps[number] = (octets, stamp)
            # Who has signed it, "openssl ts -verify" shows: see the page.
            if octets_of(self.last) not in stamp:
                faults.append("the time stamp of %s is about something else" % place)


class Account:
    """What the statements say of the parts of the record: whether that fits together."""

    def __init__(self):
        # Of each part: its last seal, whether it gets no more events, and whether it was removed.
        self.parts, self.covered = {}, None

    def take(self, statement):
        """Says what is wrong, if something is."""
        what = statement["what"]
        if what == "begun":
            self.covered = None
        elif what == "unsealed":
            gap = self.gap(statement["first_seq"])
            self.covered = statement["last_seq"]
            return gap
        elif what in ("checkpoint", "closed"):
            return self.sealed(statement["part"], statement, what == "closed")
        elif what == "removed":
            return self.removed(statement["part"], statement)

    def gap(self, first):
        if self.covered is not None and first != self.covered + 1:
            return "does not go on where the ones before it end: event %d does not follow event %d" % (first, self.covered)

    def sealed(self, part, seal, is_closed):
        contradicts = "contradicts an earlier one about the same events (part %d)" % part
        if seal["last_seq"] + 1 < seal["first_seq"]:
            return contradicts
        wrong = None
        if part in self.parts:
            before, was_closed, was_removed = self.parts[part]
            is_same = [before[key] for key in ("first_seq", "day")] == [seal[key] for key in ("first_seq", "day")]
            if was_closed or was_removed or not is_same or before["last_seq"] > seal["last_seq"]:
                return contradicts
        elif self.parts and part < max(self.parts):
            wrong = contradicts
        else:
            wrong = self.gap(seal["first_seq"])
        self.parts[part] = (seal, is_closed, False)
        self.covered = max(self.covered or 0, seal["last_seq"])
        return wrong

    def removed(self, part, removal):
        wrong = "removes events that are not the oldest, or not old enough (part %d)" % part
        if part not in self.parts:
            return wrong
        oldest = min((one for one, known in self.parts.items() if not known[2]), default=None)
        seal, is_closed, _ = self.parts[part]
        self.parts[part] = (seal, is_closed, True)
        is_whole = [seal[key] for key in ("first_seq", "last_seq")] == [removal[key] for key in ("first_seq", "last_seq")]
        is_old = True
        if removal["why"] == "age":
            day = (datetime.date.fromisoformat(seal["day"]) - datetime.date(1970, 1, 1)).days
            is_old = day < (removal["at"] - removal.get("keep", 0) * 1000) // 86400000
        if part != oldest or not is_closed or not is_whole or not is_old:
            return wrong


class Events:
    """The events, each a leaf of the tree of which a statement has the root."""

    def __init__(self, seals, decisions):
        self.seals, self.decisions, self.proved, self.before = seals, decisions, 0, -1

    def see(self, place, kept):
        event, seal = json.loads(kept["text"]), self.seals.get(kept["statement"])
        seq, before, self.before = event["seq"], self.before, event["seq"]
        leaf = hashlib.sha256(b"\x00" + kept["text"].encode()).digest()
        path = [octets_of(other) for other in kept["path"]]
        if seq <= before:
            faults.append(place + ": event %d follows one that is not before it: lines were doubled or moved" % seq)
        elif seal is None:
            faults.append(place + ": no statement seals event %d" % seq)
        elif octets_of(seal["root"]) != root_by_path(
                leaf, seq - seal["first_seq"], seal["last_seq"] + 1 - seal["first_seq"], path):
            faults.append(place + ": event %d is not what was sealed: it was altered" % seq)
        elif "decision" in event and event["decision"] not in self.decisions:
            faults.append(place + ": the decision of event %d is not in decisions.jsonl as it was" % seq)
        else:
            self.proved += 1


def listed():
    """The files of the package, and whatever else is in its folder."""
    found = []
    for folder, folders, names in os.walk(FOLDER):
        inside = os.path.relpath(folder, FOLDER).replace(os.sep, "/")
        before = "" if inside == "." else inside + "/"
        found += [before + name for name in names]
        found += [before + name for name in folders if before + name != "stamps"]
    return found


def verify_manifest(statements, counts):
    """manifest.json has the hash of each file, and the key in effect after the last statement signs it."""
    octets, signature = content("manifest.json"), content("manifest.sig")
    if octets is None or signature is None:
        return faults.append("manifest.json or manifest.sig is missing")
    if statements.key is None or not is_signed(statements.key, octets, signature):
        faults.append("manifest.json is not signed by the key that the last statement leaves in effect:"
                      " it was altered, or statements were added or removed")
    manifest = json.loads(octets)
    if manifest["v"] != 1 or manifest["what"] != "package":
        return faults.append("manifest.json is not one that this program knows")
    files, there = manifest["files"], set(listed())
    for name in sorted(set(files) | there - {"manifest.json", "manifest.sig"}):
        if name not in there:
            faults.append(name + " is missing")
        elif name not in files:
            faults.append(name + " is not part of the package")
        elif hash_of_file(name) != files[name]:
            faults.append(name + " is not what was exported: it was altered")
    for what, count in counts.items():
        if manifest[what] != count:
            faults.append("there are %d %s, and manifest.json says %d" % (count, what, manifest[what]))
    if manifest["last_statement"] != statements.last:
        faults.append("the last statement is not the one that manifest.json names")


def main(wanted):
    if any(not re.fullmatch("[0-9a-fA-F]{64}", one) for one in wanted):
        sys.exit("usage: python3 verify.py FINGERPRINT [HASH ...], each of 64 hexadecimal digits")
    if not is_signed(*KNOWN_SIGNATURE):
        sys.exit("openssl can't verify Ed25519 signatures: install 3.0 or later, or the Python package \"cryptography\".")
    statements, decisions, counts = Statements(), set(), {}
    counts["statements"] = each("statements.jsonl", statements.see)
    if not statements.hashes:
        faults.append("statements.jsonl has no statement that can be relied on, so nothing is proved")
    for number, parts in statements.stamps.items():
        for ending, octets in zip(("json", "tsr"), parts):
            if content("stamps/%d.%s" % (number, ending)) != octets:
                faults.append("stamps/%d.%s is not what statements.jsonl has of statement %d" % (number, ending, number))
    counts["decisions"] = each(
        "decisions.jsonl", lambda place, kept: decisions.add(sha256(kept["text"].encode())))
    events = Events(statements.seals, decisions)
    counts["events"] = each("events.jsonl", events.see)
    try:
        verify_manifest(statements, counts)
    except UNREADABLE as fault:
        faults.append("manifest.json can't be read: it was altered (%s)" % type(fault).__name__)
    if wanted and statements.first_key != wanted[0].lower():
        faults.append("the record begins with the key %s, not with %s" % (statements.first_key, wanted[0].lower()))
    kept = [one.lower() for one in wanted[1:]]
    number, previous = statements.first or (1, None)
    if number > 1 and previous not in kept:
        faults.append("the record begins with statement %s: those before it are in another store."
                      " Have the hash of the last one of them from the site, and give it here" % number)
    for one in kept:
        if one not in statements.hashes and one != previous:
            faults.append("no statement has the hash " + one)
    for fault in faults:
        print("BROKEN: " + ascii(fault)[1:-1])
    print("The first key is %s. Compare it with what the site gave you by another way." % statements.first_key)
    print("The last statement is number %s, with the hash %s." % (statements.number, statements.last))
    if faults:
        sys.exit("This package does not prove what it shows: it was altered, or the record of the site is broken.")
    print("%d event%s as sealed." % (events.proved, "" if events.proved == 1 else "s"))


try:
    main(sys.argv[1:])
except OSError as fault:
    sys.exit("This could not be verified: %s" % fault)
