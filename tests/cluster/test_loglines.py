"""The rule for log lines (rig/loglines.py) itself: a log that keeps to it passes, and one that does not is seen."""
import pytest

from rig import loglines
from rig.results import bar

STARTED = "[27-Nov-2026 10:00:00] NOTICE: fpm is running, pid 17"


def line(minute, second, text):
    return (f'[27-Nov-2026 10:{minute:02}:{second:02}] WARNING: [pool www] child 19 said into stderr: '
            f'"NOTICE: PHP message: {text}"')


def down(minute, second, node):
    return line(minute, second, f"mmsession: node {node} (tcp://127.0.0.1:6379): connect: Connection refused; "
                "sessions are served by the other nodes until it is back")


FOREIGN = "mmsession: node web1 (unix:///n.sock): the key of a session holds something that is not mmsession's: left alone"
REPLICA = "mmsession: node web1 (unix:///n.sock): it is a replica of 127.0.0.1: mmsession does the copying; REPLICAOF NO ONE"
REFUSED = ("mmsession: node web1 (unix:///n.sock): server refused HSET mms::behind: NOPERM this user has no permissions to run the 'hset' "
           "command: mmsession.user needs that permission, see docs/operations.md")
READ = "PHP Warning:  session_start(): mmsession: session not read: node web1 (unix:///n.sock): no answer in page.php on line 4"

GOOD = {
    "nothing": [],
    "one for each node": [down(0, 1, "web1"), down(0, 1, "web2"), down(0, 1, "web3")],
    "a minute apart": [down(0, 1, "web1"), down(1, 1, "web1"), down(2, 1, "web1")],
    "stamps of whole seconds": [down(0, 1, "web1"), down(1, 0, "web1")],
    "kinds of their own": [down(0, 1, "web1"), line(0, 1, REPLICA), line(0, 1, FOREIGN), line(0, 1, REFUSED)],
    "a new php-fpm": [down(0, 1, "web1"), STARTED, down(0, 2, "web1")],
    "words of others": [line(0, 1, "PHP Warning:  something else")],
}
BAD = {
    "58 s apart": [down(0, 1, "web1"), down(0, 59, "web1")],
    "two minutes of a window": [down(0, 50, "web1"), down(1, 10, "web1")],
    "twice at once": [down(0, 1, "web1"), down(0, 1, "web2"), down(0, 1, "web1")],
    "a foreign key of another node": [line(0, 1, FOREIGN), line(0, 2, FOREIGN.replace("web1", "web2"))],
    "a refused marker twice": [line(0, 1, REFUSED), line(0, 2, REFUSED.replace("behind", "lives"))],
    "a node that comes back": [line(0, 1, "mmsession: node web1 (tcp://127.0.0.1:6379): in use again")],
    "a warning of PHP": [line(0, 1, READ)],
}


@pytest.mark.row("log-rule")
def test_the_rule_for_log_lines_sees_what_breaks_it():
    wrong = [name for name, lines in GOOD.items() if loglines.too_many("\n".join([STARTED, *lines]))]
    wrong += [name for name, lines in BAD.items() if len(loglines.too_many("\n".join([STARTED, *lines]))) != 1]
    bar("log-rule", f"{len(BAD)} logs that break the rule are seen, {len(GOOD)} that keep to it pass", f"{len(wrong)} not {wrong}",
        not wrong)
