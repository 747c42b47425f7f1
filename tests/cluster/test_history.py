"""The checker of histories (rig/history.py) itself: what is planted it sees, and in a clean history it sees nothing."""
import pytest

from rig.history import History, filler_digest
from rig.results import bar

FILL = 300
STEPS = ["add i1", "add i2", "look", "add i3", "look"]


class Page:
    """Answers as www/session.php does, from memory. plant: function that may change what a read shows."""

    name = "page"

    def __init__(self, plant=None):
        self._stored, self._plant, self.writes = {}, plant, 0

    def visit(self, session, steps, timeout):
        kept = self._stored.get(session, {})
        values = {"cart": list(kept.get("cart", ())), "own": kept.get("own"), "filler": kept.get("filler")}
        if self._plant:
            self._plant(self, session, values)
        for step in steps.split(";"):
            self._do(session, step)
        return {"status": 200, "ok": {"start": True, "close": True}, "warnings": [], "values": values}

    def _do(self, session, step):
        if step == "destroy":
            self._stored.pop(session, None)
        elif step.startswith("append:"):
            item = step.split(":")[2]
            cart = self._stored.get(session, {}).get("cart", [])
            self._stored[session] = {"cart": [*cart, item], "own": session, "filler": filler_digest(session, item, FILL)}
            self.writes += 1


class Mute:
    """Does what a page does, and says nothing."""

    name = "mute"

    def __init__(self, page):
        self._page = page

    def visit(self, session, steps, timeout):
        self._page.visit(session, steps, timeout)


class Either:
    """One host of several pages, each for a session of its own."""

    name = "either"

    def __init__(self, pages):
        self._pages = pages

    def visit(self, session, steps, timeout):
        return self._pages[session].visit(session, steps, timeout)


def cart_of(session, *items, owner=None, filler_of=None):
    return {"cart": list(items), "own": owner or session, "filler": filler_digest(filler_of or session, items[-1], FILL)}


def older(page, session, values):
    if page.writes == 2:
        values.update(cart_of(session, "i1"))


def nothing(page, _session, values):
    if page.writes == 2:
        values.update(cart=[], own=None, filler=None)


def owner_of_another(page, session, values):
    if page.writes == 2:
        values.update(cart_of(session, "i1", "i2", owner="another"))


def filler_of_another(page, session, values):
    if page.writes == 2:
        values.update(cart_of(session, "i1", "i2", filler_of="another"))


def filler_of_another_write(page, session, values):
    if page.writes == 2:
        values["filler"] = filler_digest(session, "i1", FILL)


def filler_cut_off(page, session, values):
    if page.writes == 2:
        values["filler"] = filler_digest(session, "i2", FILL - 1)


def filler_gone(page, _session, values):
    if page.writes == 2:
        values["filler"] = None


def logout_undone(page, session, values):
    if page.writes == 3 and not values["cart"]:
        values.update(cart_of(session, "i1", "i2", "i3"))


def last_write_lost(page, session, values):
    if page.writes == 3:
        values.update(cart_of(session, "i1", "i2"))


def all_lost(page, _session, values):
    if page.writes == 3:
        values.update(cart=[], own=None, filler=None)


PLANTS = [(older, STEPS, {"stale"}), (nothing, STEPS, {"stale"}), (owner_of_another, STEPS, {"foreign"}),
          (filler_of_another, STEPS, {"foreign"}), (filler_of_another_write, STEPS, {"foreign"}),
          (filler_cut_off, STEPS, {"foreign"}), (filler_gone, STEPS, {"foreign"}),
          (logout_undone, [*STEPS, "leave", "look"], {"undone"}),
          (logout_undone, [*STEPS, "leave"], {"undone"}),
          (last_write_lost, STEPS[:-1], {"stale", "lost"}), (all_lost, STEPS[:-1], {"stale", "lost"})]


def found_by(page, steps):
    """Kinds of violations that the checker finds after these steps of one visitor, beside a second whose pages are right."""
    history, right = History(), Page()
    for step in steps:
        kind, _, item = step.partition(" ")
        history.visit(page, "visitor", kind, item, FILL)
        history.visit(right, "bystander", kind, item, FILL)
    verdict = history.verdict(Either({"visitor": page, "bystander": right}))
    assert not any("bystander" in str(each) for found in verdict.values() for each in found)
    return {name for name, found in verdict.items() if found}


@pytest.mark.row("history")
def test_what_is_planted_is_seen():
    missed = [(plant.__name__, found_by(Page(plant), steps)) for plant, steps, kinds in PLANTS
              if found_by(Page(plant), steps) != kinds]
    bar("history", f"the checker sees {len(PLANTS)} violations that are planted, each as what it is", f"{len(missed)} not {missed}",
        not missed)


@pytest.mark.row("history")
@pytest.mark.parametrize("steps", [STEPS, [*STEPS, "leave", "look"], ["look"], ["add i1", "leave", "look"]],
                         ids=["cart", "logout", "empty", "short"])
def test_a_clean_history_is_clean(steps):
    found = found_by(Page(), steps)
    bar("history", f"clean: {', '.join(steps)}", found or "nothing", not found)


@pytest.mark.row("history")
def test_an_unsure_write_may_have_happened_or_not():
    for happened in (False, True):
        page, history = Page(), History()
        history.visit(page, "visitor", "add", "i1", FILL)
        history.visit(Mute(page if happened else Page()), "visitor", "add", "i2", FILL)
        found = {name: each for name, each in history.verdict(page).items() if each}
        bar("history", f"clean: a write without an answer that {'happened' if happened else 'did not happen'}", found or "nothing",
            not found)
