import type { Report } from "./report.ts";

/** What we aim at, as ratios within one run where they can be. A miss is said, never failed. */
export function compareWithTargets(report: Report): void {
  const { p50, p95, perSecond, value } = {
    p50: (id: string) => report.p50(id),
    p95: (id: string) => report.p95(id),
    perSecond: (id: string) => report.perSecond(id),
    value: (id: string) => report.value(id),
  };
  report.target("Python isolated, paced / raw paced round trip", p50("python.paced") / p50("raw.python.paced"), "at most", 6, "x");
  report.target("Python isolated, closed loop, p50", p50("python"), "at most", 1.2, "ms");
  report.target("Python isolated, closed loop, p95", p95("python"), "at most", 4, "ms");
  report.target("Python isolated, 8 callers", perSecond("python.c8"), "at least", 700, "/s");
  report.target("docker run / Python isolated", p50("run.python") / p50("python"), "at least", 100, "x");
  report.target("Node reuse / raw round trip", p50("node.reuse") / p50("raw.node"), "at most", 4, "x");
  report.target("Node single-use, paced / raw paced round trip", p50("node.paced") / p50("raw.node.paced"), "at most", 8, "x");
  report.target("use of a host power inside a call, Python", p50("rights.python"), "at most", 0.06, "ms");
  report.target("use of a host power inside a call, Node reuse", p50("rights.node.reuse"), "at most", 0.06, "ms");
  report.target("cold first answer / engine create + start, Python", p50("cold.python") / p50("engine.python"), "at most", 2, "x");
  report.target("cold first answer / engine create + start, Node", p50("cold.node") / p50("engine.node"), "at most", 2, "x");
  report.target("flow of 40 isolated Python steps", p50("flow.40"), "at most", 100, "ms");
  report.target("flow of 40 isolated Python steps, journaled", p50("flow.40.journaled"), "at most", 150, "ms");
  report.target("flow engine, set steps", value("flow.sets.rate"), "at least", 200_000, "steps/s");
  report.target("flow engine, handler steps", value("flow.handlers.rate"), "at least", 100_000, "steps/s");
  report.target("journaling, per step with an effect, p50", value("flow.journal"), "at most", 0.15, "ms");
  report.target("journaling, per step / bare SQLite, durable commit", value("flow.journal") / p50("flow.bare.commit"), "at most", 3, "x");
  report.target("load of 1,000 flow files and 500 modifiers", p50("flow.load"), "at most", 1000, "ms");
  report.target("load / the YAML library alone", p50("flow.load") / p50("flow.load.bare"), "at most", 2, "x");
  report.target("foreach over 1,000 items", p50("flow.foreach"), "at most", 50, "ms");
  report.target("1 MiB in and out", p50("python.mib"), "at most", 6, "ms");
  report.target("memory per idle warm container, Python", value("memory.python"), "at most", 12, "MB");
  report.target("memory per idle warm container, Node reuse", value("memory.node.reuse"), "at most", 20, "MB");
  report.target("bubblewrap / Docker, Python isolated, closed loop", p50("bubblewrap.python") / p50("python"), "at most", 1.2, "x");
  report.target("bubblewrap, cold first answer, Python", p50("bubblewrap.cold.python"), "at most", 100, "ms");
  report.target("memory per idle warm bubblewrap sandbox, Python", value("bubblewrap.memory.python.group"), "at most", 12, "MB");
  report.target("whole path over HTTP - port, Python, closed loop", p50("http.python") - p50("python"), "at most", 1, "ms");
  report.target("whole path over HTTP - port, Python, paced", p50("http.python.paced") - p50("python.paced"), "at most", 1, "ms");
  report.target("store get / bare SQLite", p50("store.get") / p50("store.bare.get"), "at most", 3, "x");
  report.target("store set, durable / bare SQLite, durable", p50("store.set") / p50("store.bare.set"), "at most", 1.5, "x");
  report.target("store list of 100 of 100,000 / bare SQLite", p50("store.list") / p50("store.bare.list"), "at most", 2, "x");
  report.target("store list by prefix / bare SQLite", p50("store.prefix") / p50("store.bare.prefix"), "at most", 2, "x");
  report.target("egress, added to a fetch, p50", p50("egress.proxied") - p50("egress.direct"), "at most", 1, "ms");
  report.target("egress, added to a fetch, p95", p95("egress.proxied") - p95("egress.direct"), "at most", 3, "ms");
  report.target("redaction of log lines, 50 live secrets", value("redaction.line"), "at least", 200, "MB/s");
  report.target("redaction of large texts, 50 live secrets", value("redaction.text"), "at least", 200, "MB/s");
  report.target("redaction of large texts, names too", value("redaction.named"), "at least", 200, "MB/s");
}
