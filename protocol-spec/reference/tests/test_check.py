"""The checker itself: what it does not understand is a difference."""

import json
import pathlib
import tempfile
import unittest

import check


class CheckTest(unittest.TestCase):
    def check(self, name, document):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.write_text(json.dumps(document), encoding="utf-8")
            return check.check_file(path)

    def test_a_file_nobody_knows(self):
        self.assertTrue(self.check("other.json", {})[1])

    def test_a_part_nobody_knows_and_a_part_that_is_missing(self):
        good = {"service": "00" * 8, "questions": [], "answers": [], "format": 1}
        self.assertEqual(self.check("frames.json", good), (0, []))
        self.assertEqual(len(self.check("frames.json", dict(good, more=[]))[1]), 1)
        del good["answers"]
        self.assertEqual(len(self.check("frames.json", good)[1]), 1)

    def test_a_case_that_is_wrong_or_has_more_to_it(self):
        case = {
            "name": "nothing",
            "clause": "1.1.4",
            "transport": "udp",
            "frame": "",
            "expect": {"silent": "length"},
        }
        document = {"service": "00" * 8, "questions": [case], "answers": [], "format": 1}
        self.assertEqual(self.check("frames.json", document), (1, []))
        for change in (
            {"frame": "00"},
            {"more": 1},
            {"expect": {"silent": "service"}},
            {"expect": {"new": 1}},
        ):
            twisted = dict(document, questions=[dict(case, **change)])
            if change == {"frame": "00"}:
                self.assertEqual(self.check("frames.json", twisted), (1, []))
            else:
                self.assertEqual(len(self.check("frames.json", twisted)[1]), 1, change)


if __name__ == "__main__":
    unittest.main()
