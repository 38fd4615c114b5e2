#!/usr/bin/env python3
"""Verifies this package without Sealpost: python3 verify.py [FINGERPRINT]

Needs Python 3.8 or later, and openssl 1.1.1 or later or the Python package "cryptography".
FINGERPRINT is that of the site's first key, as you got it from the site by another way.
"""
import base64, hashlib, json, os, subprocess, sys, tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))


def lines(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            yield number, json.loads(line)


def sha256(octets):
    return hashlib.sha256(octets).hexdigest()


def is_signed(public_key, octets, signature):
    """Whether an Ed25519 key (RFC 8032) has made this signature."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, octets)
            return True
        except InvalidSignature:
            return False
    except ImportError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        # SubjectPublicKeyInfo of an Ed25519 key (RFC 8410).
        files = {"key": bytes.fromhex("302a300506032b6570032100") + public_key, "text": octets, "sig": signature}
        for name, content in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile sig"
        done = subprocess.run(command.split(), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0


def root_by_path(leaf, index, size, path):
    """The root of a Merkle tree (RFC 9162, section 2.1.3.2)."""
    if index >= size:
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


def main():
    faults, seals, previous, number, key, first_key = [], {}, None, None, None, None
    for line, kept in lines("statements.jsonl"):
        octets = kept["text"].encode()
        statement = json.loads(octets)
        place = "statement %d" % kept["n"]
        if statement["n"] != kept["n"] or (number is not None and statement["n"] != number + 1):
            faults.append(place + " is not the one that follows the one before")
        if previous is not None and statement["previous"] != previous:
            faults.append(place + " does not name the one before")
        if statement["what"] == "begun":
            if key is not None and key.hex() != statement["public_key"]:
                faults.append(place + " begins with a key that the one before did not announce")
            key = bytes.fromhex(statement["public_key"])
        elif key is None:
            faults.append(place + " is not the first one of the record")
        first_key = first_key or statement["key"]
        if key is None or sha256(key) != statement["key"] or not is_signed(key, octets, base64.b64decode(kept["signature"])):
            faults.append(place + " is not signed by the key of the site")
        elif statement["what"] in ("checkpoint", "closed"):
            seals[statement["n"]] = statement
        if statement["what"] == "next-key":
            key = bytes.fromhex(statement["public_key"])
        previous, number = sha256(octets), statement["n"]
    decisions = {sha256(kept["text"].encode()) for _, kept in lines("decisions.jsonl")}
    events = 0
    for line, kept in lines("events.jsonl"):
        event, place = json.loads(kept["text"]), "events.jsonl, line %d" % line
        seal = seals.get(kept["statement"])
        leaf = hashlib.sha256(b"\x00" + kept["text"].encode()).digest()
        path = [bytes.fromhex(other) for other in kept["path"]]
        if seal is None:
            faults.append(place + ": no statement seals it")
        elif event["seq"] < seal["first_seq"] or seal["root"] != (root_by_path(
            leaf, event["seq"] - seal["first_seq"], seal["last_seq"] + 1 - seal["first_seq"], path) or b"").hex():
            faults.append(place + ": event %d is not what was sealed" % event["seq"])
        elif "decision" in event and event["decision"] not in decisions:
            faults.append(place + ": its decision is not there as it was")
        else:
            events += 1
    if len(sys.argv) > 1 and first_key != sys.argv[1].lower():
        faults.append("the record begins with the key %s, not with %s" % (first_key, sys.argv[1].lower()))
    for fault in faults:
        print("BROKEN: " + fault)
    print("The first key is %s. Compare it with what the site gave you by another way." % first_key)
    print("The last statement is number %s, with the hash %s." % (number, previous))
    if faults:
        sys.exit("This package was altered.")
    print("%d event%s as sealed." % (events, "" if events == 1 else "s"))


main()
