"""Goal: the tables say what they seem to say, and a wrong answer never passes for a right one.
Method: small tables and responses by hand; the grammar's round trip over all real tables.
"""

import glob
import io
import re
import unittest

from tests.conformance import compare, dig, table, wire

PORTS = {"http": 20500, "server": 20300}


def response(status=200, body=b"", **headers):
    listed = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return wire.Response(status, listed, body)


def problems(text, *responses):
    """Compares the cases of a table with responses, all on one server."""
    bindings = compare.Bindings(PORTS)
    cases = table.parse(text)
    assert len(cases) == len(responses)
    found = [compare.compare(case, one, bindings) for case, one in zip(cases, responses)]
    return found[0] if len(found) == 1 else found


class GrammarTest(unittest.TestCase):
    def test_a_case_in_full(self):
        (case,) = table.parse(
            "# why\nPUT /v1/kv/a?cas={modify}  the body\nheader A: b\ntakes 0.5..1\n"
            "differs D1 status = 400\n----\n200\nX: y\n| one\n|\n| three\n"
        )
        self.assertEqual(case.comments, ["# why"])
        self.assertEqual((case.method, case.target), ("PUT", "/v1/kv/a?cas={modify}"))
        self.assertEqual(case.body, b"the body")
        self.assertEqual(case.headers, [("A", "b")])
        self.assertEqual(case.takes, (0.5, 1.0))
        self.assertEqual(case.differences[0].expected, "400")
        self.assertEqual(case.answer.headers, [("X", "y")])
        self.assertEqual(table.body_text(case.answer.body), "one\n\nthree")

    def test_no_body_and_an_empty_body_differ(self):
        self.assertIsNone(table.parse("PUT /a")[0].body)
        self.assertEqual(table.parse("PUT /a\nbody-hex ")[0].body, b"")

    def test_wrong_lines_are_refused_with_their_number(self):
        for text in (
            "GET",
            "GET /a b",
            "GET /a\nunknown x",
            "GET /a\ntakes soon",
            "GET /a\nbody-hex 0g",
            "GET /a\nheader NoColon",
            "GET /a\ndiffers D1 nothing",
            "GET /a\ndiffers status",
            "GET /a\ndiffers D1 takes",
            "----\n200",
            "dig a A\n----\n200",
            'GET /a\n\nagent {"domain": "b"}',
            "GET /a\n----\nOK",
            "GET /a\n----\n200\nneither",
            "GET /a\n----\n200\n| body\nLate: header",
        ):
            with self.assertRaisesRegex(table.TableError, r"table:\d+: ", msg=text):
                table.parse(text)

    def test_a_query_over_dns_has_arguments_and_text(self):
        text = "# why\ndig +tcp a.consul NS\n----\n| ;; flags: qr\n| a.consul.\t0\n"
        (case,) = table.parse(text)
        self.assertEqual(case.dig, ["+tcp", "a.consul", "NS"])
        self.assertIsNone(case.answer.status)
        self.assertEqual(table.body_text(case.answer.body), ";; flags: qr\na.consul.\t0")
        self.assertEqual(table.render([case]), text)

    def test_settings_are_those_of_the_heading_together(self):
        text = '# What\n\nagent {"domain": "a"}\nagent {"b": {"c": 1}}\n\nGET /a\n'
        self.assertEqual(table.settings(text), {"domain": "a", "b": {"c": 1}})
        self.assertEqual(table.settings("# agent {}\n\nGET /a"), {})
        cases = table.parse(text)
        self.assertEqual(table.render(cases, table.heading(text)), text)

    def test_settings_that_are_none_are_refused_by_name(self):
        for text in ("agent nothing", "agent 7", "agent {", "agent "):
            with self.assertRaisesRegex(table.TableError, "table: 'agent ", msg=text):
                table.settings(text)

    def test_bodies_come_back_as_they_were(self):
        for body in (b"", b"a", b"a\n", b"\n", b"\n\n", b"a\n\nb ", "é€😀\t".encode()):
            self.assertEqual(table.body_text(table.body_lines(body)).encode(), body)

    def test_bytes_and_long_bodies_have_forms_of_their_own(self):
        self.assertEqual(table.body_lines(b"\x00\xff"), ["= 00ff"])
        self.assertEqual(table.body_lines(b"a\rb"), ["= 610d62"])
        self.assertRegex(table.body_lines(b"x" * 5000)[0], r"^@ 5000 sha256 [0-9a-f]{64}$")


class DigTest(unittest.TestCase):
    OUTPUT = """
; <<>> DiG 9.18 <<>> @127.0.0.1 consul SOA
; (1 server found)
;; global options: +cmd
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711
;; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0

;; ANSWER SECTION:
consul.\t\t0\tIN\tSOA\tns.consul. hostmaster.consul. 1000 3600 600 86400 0

;; Query time: 0 msec
;; SERVER: 127.0.0.1#20600(127.0.0.1) (UDP)
;; WHEN: Mon Nov 23 10:00:00 UTC 2026
;; MSG SIZE  rcvd: 69
"""

    def shown(self, now_s, output=OUTPUT):
        return dig.shown(output, now_s).split("\n")

    def test_what_varies_has_names_and_what_is_digs_own_is_left_out(self):
        self.assertEqual(
            self.shown(1001),
            [
                ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: <id>",
                ";; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0",
                ";; ANSWER SECTION:",
                "consul.\t\t0\tIN\tSOA\tns.consul. hostmaster.consul. <serial> 3600 600 86400 0",
                ";; SERVER: 127.0.0.1#20600(127.0.0.1) (UDP)",
                ";; MSG SIZE  rcvd: 69",
            ],
        )

    def test_a_serial_that_is_not_the_time_of_day_is_shown(self):
        for now_s in (990, 1010):
            self.assertIn("hostmaster.consul. 1000 3600", self.shown(now_s)[3])

    def test_errors_stay(self):
        lines = self.shown(0, "; <<>> DiG 9.18 <<>> a\n;; no servers could be reached\n")
        self.assertEqual(lines, [";; no servers could be reached"])


class RealTablesTest(unittest.TestCase):
    def tables(self):
        recorded = sorted(glob.glob("tests/conformance/tables/*.txt"))
        self.assertGreater(len(recorded), 5)
        ours = sorted(glob.glob("tests/faces/testdata/*.txt"))
        self.assertGreater(len(ours), 5)
        for path in recorded + ours:
            with open(path, encoding="utf-8") as file:
                yield path, file.read()

    def test_each_is_as_the_recorder_writes_it(self):
        for path, text in self.tables():
            cases = table.parse(text, path)
            self.assertEqual(table.render(cases, table.heading(text)), text, path)

    def test_each_case_is_recorded(self):
        for path, text in self.tables():
            for case in table.parse(text, path):
                self.assertTrue(case.answer or case.start, f"{path}:{case.line}")

    def test_each_difference_is_a_row_of_the_page_and_each_row_says_why(self):
        with open("docs/DIVERGENCE.md", encoding="utf-8") as file:
            rows = dict(re.findall(r"^\| (D\d+) \| (.*) \|$", file.read(), re.MULTILINE))
        used = set()
        for path, text in self.tables():
            for case in table.parse(text, path):
                for difference in case.differences:
                    self.assertIn(difference.row, rows, f"{path}:{case.line}")
                    used.add(difference.row)
        self.assertTrue(used)
        for row, text in rows.items():
            self.assertEqual(len(text.split(" | ")), 3, f"{row}: reference, ours, why")


class CompareTest(unittest.TestCase):
    def test_the_same_is_the_same(self):
        text = 'GET /a\n----\n200\nA: b\n| {"x":1}'
        self.assertEqual(problems(text, response(A="b", body=b'{"x":1}')), [])

    def test_each_part_is_looked_at(self):
        text = 'GET /a\n----\n200\nA: b\n| {"x":1}'
        good = {"A": "b", "body": b'{"x":1}'}
        for change in (
            {"status": 201},
            {"A": "c"},
            {"B": "more"},
            {"body": b'{"x":2}'},
            {"body": b'{"x":"1"}'},
            {"body": b'{"x":1.0}'},
            {"body": b'{"x":true}'},
            {"body": b'{"x":1,"y":null}'},
            {"body": b"{}"},
            {"body": b'{"x":1}\n'},
            {"body": b'{\n    "x": 1\n}'},
            {"body": b""},
            {"body": b"not json"},
        ):
            self.assertTrue(problems(text, response(**{**good, **change})), change)

    def test_a_missing_header_is_seen(self):
        self.assertTrue(problems("GET /a\n----\n200\nA: b", response()))

    def test_a_header_in_other_spelling_is_seen(self):
        self.assertTrue(problems("GET /a\n----\n200\nAb: b", response(AB="b")))

    def test_text_hex_and_hash_bodies(self):
        self.assertEqual(problems("GET /a\n----\n200\n| text", response(body=b"text")), [])
        self.assertTrue(problems("GET /a\n----\n200\n| text", response(body=b"Text")))
        self.assertEqual(problems("GET /a\n----\n200\n= 00", response(body=b"\0")), [])
        self.assertTrue(problems("GET /a\n----\n200\n= 00", response(body=b"\1")))
        self.assertTrue(problems("GET /a\n----\n200\n@ 5000 sha256 0", response(body=b"x" * 5000)))
        self.assertTrue(problems("GET /a\n----\n200", response(body=b"something")))

    def test_lists_keep_order_and_length(self):
        text = "GET /a\n----\n200\n| [1,2]"
        self.assertEqual(problems(text, response(body=b"[1,2]")), [])
        for body in (b"[2,1]", b"[1]", b"[1,2,3]"):
            self.assertTrue(problems(text, response(body=body)))

    INDEXES = 'GET /a\n----\n200\nX-Consul-Index: <i2>\n| {"ModifyIndex":<i1>}'

    def test_indexes_keep_identity_and_order(self):
        def pair(header, modify):
            return problems(
                self.INDEXES,
                response(X_Consul_Index=str(header), body=b'{"ModifyIndex":%d}' % modify),
            )

        self.assertEqual(pair(90, 17), [])
        self.assertTrue(pair(17, 90), "order")
        self.assertTrue(pair(17, 17), "two names, one number")
        text = "GET /a\n----\n200\n| [<i1>,<i1>]"
        self.assertEqual(problems(text, response(body=b"[5,5]")), [])
        self.assertTrue(problems(text, response(body=b"[5,6]")), "one name, two numbers")

    def test_names_hold_over_the_cases_of_a_table(self):
        text = "GET /a\n----\n200\n| <i1>\n\nGET /b\n----\n200\n| <i1>"
        self.assertEqual(problems(text, response(body=b"5"), response(body=b"5")), [[], []])
        self.assertTrue(problems(text, response(body=b"5"), response(body=b"6"))[1])

    def test_ids_are_ids_and_stay_the_same(self):
        text = 'GET /a\n----\n200\n| ["<uuid1>","<uuid1>","<uuid2>"]'
        one, two = (c * 8 + (b"-" + c * 4) * 3 + b"-" + c * 12 for c in (b"0", b"1"))

        def three(a, b, c):
            return problems(text, response(body=b'["%s","%s","%s"]' % (a, b, c)))

        self.assertEqual(three(one, one, two), [])
        self.assertTrue(three(one, two, two))
        self.assertTrue(three(one, one, one))
        self.assertTrue(three(b"abc", b"abc", two))

    def test_ports_are_the_server_s_own(self):
        text = 'GET /a\n----\n200\n| "127.0.0.1:<port.server>"'
        self.assertEqual(problems(text, response(body=b'"127.0.0.1:20300"')), [])
        self.assertTrue(problems(text, response(body=b'"127.0.0.1:20301"')))


class DifferencesTest(unittest.TestCase):
    def test_a_difference_with_a_value_demands_it(self):
        text = "GET /a\ndiffers D1 status = 400\n----\n500"
        self.assertEqual(problems(text, response(400)), [])
        self.assertTrue(problems(text, response(500)), "the reference's own is no longer right")

    def test_headers(self):
        text = "GET /a\ndiffers D1 header A = c\n----\n200\nA: b"
        self.assertEqual(problems(text, response(A="c")), [])
        self.assertTrue(problems(text, response(A="b")))
        self.assertTrue(problems(text, response()))
        text = "GET /a\ndiffers D1 header A absent\n----\n200\nA: b"
        self.assertEqual(problems(text, response()), [])
        self.assertTrue(problems(text, response(A="b")))
        text = "GET /a\ndiffers D1 header A\n----\n200\nA: b"
        self.assertEqual(problems(text, response(A="anything")), [])

    def test_json_paths_excuse_what_they_name_only(self):
        text = 'GET /a\ndiffers D1 json *.Tags\n----\n200\n| [{"Tags":"<D1>","Name":"n"}]'
        self.assertEqual(problems(text, response(body=b'[{"Tags":{},"Name":"n"}]')), [])
        self.assertEqual(problems(text, response(body=b'[{"Name":"n"}]')), [])
        self.assertTrue(problems(text, response(body=b'[{"Tags":{},"Name":"m"}]')))
        self.assertTrue(problems(text, response(body=b'[{"Tags":{},"Name":"n","More":1}]')))

    def test_json_with_a_value(self):
        text = 'GET /a\ndiffers D1 json x = [1]\n----\n200\n| {"x":2}'
        self.assertEqual(problems(text, response(body=b'{"x":[1]}')), [])
        self.assertTrue(problems(text, response(body=b'{"x":2}')))

    def test_bodies(self):
        text = "GET /a\ndiffers D1 body = better\n----\n200\n| worse"
        self.assertEqual(problems(text, response(body=b"better")), [])
        self.assertTrue(problems(text, response(body=b"worse")))


class WriterTest(unittest.TestCase):
    def test_what_differs_from_run_to_run_gets_a_name(self):
        node = "0" * 8 + "-0000-0000-0000-" + "0" * 12
        body = f'{{"ID":"{node}","Port":20300,"CreateIndex":7,"ModifyIndex":12,"LockIndex":7}}'
        one = response(body=body.encode(), X_Consul_Index="12", Date="now")
        writer = compare.Writer(PORTS)
        writer.see(one)
        answer = writer.answer(table.parse("GET /a")[0], one)
        self.assertEqual(answer.headers, [("X-Consul-Index", "<i2>")])
        wanted = '{"ID":"<uuid1>","Port":<port.server>,"CreateIndex":<i1>,"ModifyIndex":<i2>'
        self.assertEqual(answer.body, ["| " + wanted + ',"LockIndex":7}'])

    def test_what_it_writes_fits_what_it_saw(self):
        one = response(body=b'[{"ModifyIndex":7},"x"]\n', X_Consul_Index="9")
        writer = compare.Writer(PORTS)
        writer.see(one)
        (case,) = table.parse("GET /a")
        case.answer = writer.answer(case, one)
        self.assertEqual(compare.compare(case, one, compare.Bindings(PORTS)), [])


class WireTest(unittest.TestCase):
    def read(self, data, method="GET"):
        return wire.read_response(io.BytesIO(data), method)

    def test_bodies_by_length_chunks_and_close(self):
        self.assertEqual(self.read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc").body, b"ab")
        chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks += b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        self.assertEqual(self.read(chunks).body, b"abc")
        self.assertEqual(self.read(b"HTTP/1.1 200 OK\r\n\r\nabc").body, b"abc")
        head = b"HTTP/1.1 405 x\r\nContent-Length: 9\r\n\r\n"
        self.assertEqual(self.read(head, "HEAD").body, b"")

    def test_continue_comes_before_the_answer(self):
        data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
        self.assertEqual(self.read(data), wire.Response(200, [("Content-Length", "1")], b"a"))

    def test_bodies_are_cut_into_chunks(self):
        self.assertEqual(wire.in_chunks(b"abcde"), b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        self.assertEqual(wire.in_chunks(b""), b"0\r\n\r\n")

    def test_a_reply_cut_short_is_an_error(self):
        for data in (b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"):
            with self.assertRaises(wire.ClosedEarly):
                self.read(data)
