/** Prints summaries: a table for people, a JSON object per line for programs. */
import { verdicts } from "./aims.ts"
import { type NumberName, numbers, type Summary } from "./Measurement.ts"

const titles: Readonly<Record<NumberName, string>> = {
  ms: "ms",
  cpuMs: "CPU ms",
  loopMs: "loop CPU ms",
  iteratedMs: "ms, all iterated",
  records: "records",
  rps: "records/s",
  p50: "p50 ms",
  p99: "p99 ms",
  max: "max ms",
  withoutGcMs: "loop CPU ms without GC",
  keys: "keys",
  mib: "disk MiB",
  rssMiB: "RSS MiB",
  heapMiB: "heap MiB",
  bytesPerKey: "heap B/key",
  rssBytesPerKey: "RSS B/key",
  dataBytesPerKey: "data B/key",
  bytesPerClient: "heap B/client",
  nsPerOp: "ns/op",
  ratio: "ratio",
  cpuPercent: "CPU %",
  loopPercent: "loop CPU %",
  connections: "connections",
  requestsPerSecond: "requests/s",
  fetchesPerSecond: "fetches/s"
}

/** Numbers whose best repetition is shown beside the median. */
const withBest: ReadonlySet<NumberName> = new Set(["ms", "p50", "nsPerOp"])

const format = (value: number | undefined): string => {
  if (value === undefined) return ""
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US")
  return value.toPrecision(3)
}

interface Column {
  readonly title: string
  readonly right: boolean
  readonly cell: (summary: Summary) => string
}

/** The columns that at least one row fills. */
const columnsOf = (summaries: ReadonlyArray<Summary>): ReadonlyArray<Column> => {
  const texts = (["metric", "client", "topic", "decode", "detail"] as const)
    .filter((name) => summaries.some((summary) => summary[name] !== undefined))
    .map((name) => ({ title: name, right: false, cell: (summary: Summary) => summary[name] ?? "" }))
  const figures = numbers
    .filter((name) => summaries.some((summary) => summary[name] !== undefined))
    .flatMap((name) => {
      const median = { title: titles[name], right: true, cell: (summary: Summary) => format(summary[name]) }
      if (!withBest.has(name)) return [median]
      return [
        median,
        { title: `best ${titles[name]}`, right: true, cell: (summary: Summary) => format(summary.best[name]) }
      ]
    })
  const runs = { title: "runs", right: true, cell: (summary: Summary) => String(summary.repetitions) }
  return [...texts, ...figures, runs]
}

/** Rows of one metric, which fill the same columns. */
const byMetric = (summaries: ReadonlyArray<Summary>): ReadonlyArray<ReadonlyArray<Summary>> => {
  const groups = new Map<string, Array<Summary>>()
  for (const summary of summaries) {
    const group = groups.get(summary.metric)
    if (group === undefined) groups.set(summary.metric, [summary])
    else group.push(summary)
  }
  return [...groups.values()]
}

const aligned = (summaries: ReadonlyArray<Summary>): string => {
  const columns = columnsOf(summaries)
  const lines = [columns.map(({ title }) => title), ...summaries.map((s) => columns.map(({ cell }) => cell(s)))]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)))
  return lines
    .map((line) =>
      line
        .map((text, i) => (columns[i]!.right ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

/** A table per metric, for a terminal. */
export const table = (summaries: ReadonlyArray<Summary>): string => byMetric(summaries).map(aligned).join("\n\n")

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const aimsTable = (summaries: ReadonlyArray<Summary>): ReadonlyArray<string> => {
  const judged = verdicts(summaries)
  if (judged.length === 0) return []
  const rows = judged.map(({ aim, isMet, measured, what }) => row([what, aim, measured, isMet ? "met" : "missed"]))
  return [["### aims", "", row(["what", "aim", "measured", ""]), row(["---", "---", "---", "---"]), ...rows].join("\n")]
}

/** The aims and a table per metric, in Markdown. */
export const markdown = (summaries: ReadonlyArray<Summary>): string =>
  [
    ...aimsTable(summaries),
    ...byMetric(summaries).map((group) => {
      const columns = columnsOf(group).slice(1)
      return [
        `### ${group[0]!.metric}`,
        "",
        row(columns.map(({ title }) => title)),
        row(columns.map(({ right }) => (right ? "--:" : "---"))),
        ...group.map((summary) => row(columns.map(({ cell }) => cell(summary).replace("ktables-bench-", ""))))
      ].join("\n")
    })
  ].join("\n\n")

/** The line of a summary, read back by `parseLines`. */
export const jsonLine = (summary: Summary, versions: Readonly<Record<string, string>>): string =>
  JSON.stringify({ ...summary, versions })

export const parseLines = (text: string): ReadonlyArray<Summary> =>
  text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Summary)
