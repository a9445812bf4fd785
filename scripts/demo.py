"""The whole chain on made-up agencies: three days of exports, a few faulty ones, a restriction, a person erased, the
end of a contract and its erasure; and an invitation to look at all of it in a browser.

Everything lies in .demo/, which is made again each time. Every step is a call of the command line, printed as it is.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from portal.cli import run
from portal.cli.words import language

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "samples"
DEMO = Path(".demo")
HOME, INBOX, SOURCES = DEMO / "home", DEMO / "inbox", DEMO / "sources"
DAYS = ("2026-01-05", "2026-01-06", "2026-01-07")
FAULTY_DAY, AFTER_WINDOW = "2026-01-08", "2026-01-14"
FAULTS = ("gpi_truncated", "login_doctype_xxe", "sdgi_nul_byte", "spilasuite_column_missing")
ALLOWED = (0, 3)  # 3: something was refused, which is what some of these deliveries are for

INSTRUCTION = """\
reference = "ANNEXE-RGPD-2026-01"
kind = "synchronise"
systems = ["spilasuite", "sdgi", "gpi", "login"]
tables = ["*"]
purposes = ["extranet", "support"]
valid_from = "2025-01-01"
given_by = "gerance"
"""
RESTRICTION = """\
reference = "COURRIER-2026-01-06"
kind = "restrict"
scope = "table"
tables = ["staff"]
channel = "letter"
given_by = "gerance"
"""
ERASURE = """\
reference = "RGPD-2026-001"
kind = "erase"
tables = ["*"]
system = "gpi"
subjects = ["CO:00000003"]
channel = "letter"
given_by = "dpo"
signed_by = "Camille Exemple"
"""
YOU = "vous@agence.example"

STORY: dict[str, tuple[str, str]] = {
    "home": ("Une installation : des clés, un registre vide.", "A home: keys, and an empty register."),
    "register": (
        "Le registre des contrats : trois agences. Le contrat de A0003 finit le 6 janvier.",
        "The register of contracts: three agencies. The contract of A0003 ends on 6 January.",
    ),
    "instruct": (
        "Sans instruction de l'agence, rien n'est lu. Les trois ont donné la leur.",
        "Without an agency's instruction nothing is read. All three gave theirs.",
    ),
    "restrict": (
        "A0001 restreint : rien de ses collaborateurs. Dès lors leurs lignes sont laissées dehors, et comptées.",
        "A0001 restricts: its staff is not to come in any more. Their lines are left out from now on, and counted.",
    ),
    "order": (
        "A0001 transmet la demande d'une personne : tout effacer d'elle. Ce sera fait avec les effacements dus.",
        "A0001 passes a person's request on: erase all of hers. It is done with the erasures that are due.",
    ),
    "day": ("{day} : les exports de la nuit sont arrivés.", "{day}: the exports of the night have arrived."),
    "faults": (
        "{day} : quatre livraisons abîmées. Chacune est refusée avec sa raison, ou perd une seule ligne.",
        "{day}: four damaged deliveries. Each is refused with its reason, or loses a single line.",
    ),
    "aside": ("Les lignes mises de côté : où et pourquoi, jamais quoi.", "Lines put aside: where and why, never what."),
    "plan": (
        "{day} : la fenêtre de A0003 est close depuis cet instant. Ce qui va être détruit :",
        "{day}: the window of A0003 closed this very instant. What will be destroyed:",
    ),
    "erase": (
        "L'effacement, puis une recherche indépendante de ce qui resterait.",
        "The erasure, then an independent search for what might be left.",
    ),
    "verify": (
        "Le certificat, que chacun peut vérifier, même sans cette installation :",
        "The certificate, which anyone can verify, even without this home:",
    ),
    "look": ("Où regarder encore :", "Where to look as well:"),
    "invite": (
        "Vous êtes invité : lisez le registre de A0001, et laissez votre navigateur le vérifier.",
        "You are invited: read the log of A0001, and have your browser verify it.",
    ),
    "door": (
        "Tapez ceci, puis ouvrez ce lien dans un navigateur de cette machine (Ctrl-C referme la porte) :",
        "Type this, then open that link in a browser on this machine (Ctrl-C closes the door):",
    ),
}  # fmt: skip


def tell(key: str, **values: str) -> None:
    words = STORY[key][0 if language() == "fr" else 1].format(**values)
    print(f"\n— {words}", flush=True)


def do(*arguments: str | Path) -> None:
    """One call of the command line, shown as it is made."""
    given = [*map(str, arguments), "--home", str(HOME)]
    print(f"$ depositaire {shlex.join(given)}", flush=True)
    code = run(given)
    if code not in ALLOWED:
        sys.exit(code)


def arrive(files: Sequence[Path], agency: str, system: str) -> None:
    """Put a delivery into the inbox; for SpiLaSuite, point the agency's source at its database."""
    if system != "spilasuite":
        folder = INBOX / agency / system
        folder.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copy(path, folder)
        return
    SOURCES.mkdir(parents=True, exist_ok=True)
    database = SOURCES.absolute() / f"{agency}.sqlite"
    known = database.exists()
    shutil.copy(next(p for p in files if p.suffix == ".sqlite"), database)
    if not known:
        do("sources", "set", "--agency", agency, "--odbc", f"Driver=SQLite3;Database={database}")


def night(day: str) -> None:
    """What arrives on one day."""
    for folder in sorted((SAMPLES / "deliveries" / day).glob("A*/*")):
        arrive(sorted(folder.iterdir()), folder.parent.name, folder.name)
    portal = INBOX / "_portal"
    portal.mkdir(parents=True, exist_ok=True)
    for path in (SAMPLES / "deliveries" / day / "_portal").iterdir():
        shutil.copy(path, portal)


def damaged() -> None:
    for case in FAULTS:
        files = [p for p in (SAMPLES / "faults" / case).iterdir() if p.is_file() and p.name != "expect.json"]
        arrive(files, "A0001", case.partition("_")[0])


def main() -> None:
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    for name, text in (("instruction", INSTRUCTION), ("restriction", RESTRICTION), ("erasure", ERASURE)):
        (DEMO / f"{name}.toml").write_text(text)
    tell("home")
    do("init")
    tell("register")
    do("agencies", "load", SAMPLES.relative_to(ROOT) / "agencies" / "AGENCES_20260105.csv", "--at", DAYS[0])
    do("agencies", "list", "--at", DAYS[0])
    tell("instruct")
    do("instruct", "--all", "--file", DEMO / "instruction.toml", "--at", DAYS[0])
    for day in DAYS:
        if day == DAYS[1]:
            tell("restrict")
            do("instruct", "--agency", "A0001", "--file", DEMO / "restriction.toml", "--at", f"{day}T00:00")
        tell("day", day=day)
        night(day)
        do("sync", "--inbox", INBOX, "--at", f"{day}T06:00")
    tell("faults", day=FAULTY_DAY)
    damaged()
    do("sync", "--inbox", INBOX, "--agency", "A0001", "--at", f"{FAULTY_DAY}T06:00")
    tell("aside")
    do("quarantine", "--agency", "A0001")
    tell("order")
    do("instruct", "--agency", "A0001", "--file", DEMO / "erasure.toml", "--at", f"{FAULTY_DAY}T12:00")
    tell("plan", day=AFTER_WINDOW)
    do("retention", "plan", "--at", AFTER_WINDOW)
    tell("erase")
    do("retention", "run", "--at", AFTER_WINDOW)
    tell("verify")
    for certificate in sorted((HOME / "certificates").glob("*.json")):
        do("verify", certificate)
    tell("look")
    for command in ("status", "up"):
        print(f"  .venv/bin/depositaire {command} --home {HOME}")
    print(f"  {next((HOME / 'certificates').glob('*.json'))}")
    tell("invite")
    do("door", "invite", "--agency", "A0001", "--role", "signatory", "--email", YOU)
    tell("door")
    print(f"  .venv/bin/depositaire door serve --home {HOME}", flush=True)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
