/**
 * What the terminal shows of a table, as plain data, and its layout. Nothing here needs Effect: the first picture stands
 * before the library is loaded.
 */
import { clean, count, cut, fit, span, width } from "./text.ts"

export interface Column {
  readonly title: string
  /** Zero for the column that takes the room the others leave. */
  readonly width: number
  readonly align?: "left" | "right"
}

export interface Change {
  readonly kind: "added" | "changed" | "removed"
  readonly key: string
  readonly detail: string
}

export interface Row {
  readonly cells: ReadonlyArray<string>
  /** What has just happened to the row, if anything. */
  readonly mark: Change["kind"] | undefined
}

/** The table's status and health in the words of the screen. */
export interface TableState {
  readonly status: "Loading" | "CaughtUp" | "Degraded" | "Rebuilding" | "Failed" | "Closed"
  /** Offsets of the log read so far, and where the catch-up ends. */
  readonly replayed: number
  readonly target: number
  readonly catchUp: { readonly records: number; readonly millis: number } | undefined
  readonly entries: number
  readonly records: number
  readonly tombstones: number
  readonly undecodable: number
  readonly lag: number
  readonly partitions: number
  readonly disconnected: number
}

/** How far the demo's writers are. */
export interface Course {
  readonly step: number
  readonly steps: number
  readonly doing: string
  readonly done: number
  readonly total: number
  /** Milliseconds from the call of `set` until the table has the value: the median. */
  readonly latency: number | undefined
}

export interface Picture {
  readonly title: string
  readonly columns: ReadonlyArray<Column>
  /** Undefined until a table is there. */
  readonly table: TableState | undefined
  /** Changes per second. */
  readonly rate: number
  /** As many rows as asked for, around the last change. */
  readonly rows: (limit: number) => ReadonlyArray<Row>
  /** The newest first. */
  readonly changes: ReadonlyArray<Change>
  readonly course: Course | undefined
  /** The last thing that the library logged. */
  readonly notice: string | undefined
  readonly hint: string | undefined
}

export type Style = "bold" | "dim" | "green" | "yellow" | "red" | "cyan"
export type Paint = (style: Style, text: string) => string

interface Span {
  readonly text: string
  readonly style?: Style
}

const signs = { added: "+", changed: "~", removed: "-" } as const
const styles = { added: "green", changed: "yellow", removed: "red" } as const

const looks: Record<TableState["status"], Span> = {
  Loading: { text: "◌ loading", style: "yellow" },
  CaughtUp: { text: "● caught up", style: "green" },
  Degraded: { text: "◐ degraded", style: "yellow" },
  Rebuilding: { text: "◌ rebuilding", style: "yellow" },
  Failed: { text: "✗ failed", style: "red" },
  Closed: { text: "○ closed", style: "dim" }
}

/** Puts spans into one line of at most so many columns. */
const line = (columns: number, paint: Paint, spans: ReadonlyArray<Span>): string => {
  let left = columns
  let out = ""
  for (const { text, style } of spans) {
    const short = cut(text, left)
    left -= width(short)
    out += style === undefined ? short : paint(style, short)
  }
  return out
}

/** Facts one behind the other, over as many lines as they take. */
const wrap = (columns: number, facts: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const fact of facts) {
    const last = lines.at(-1)
    if (last !== undefined && width(last) + 3 + width(fact) <= columns) lines[lines.length - 1] = `${last} · ${fact}`
    else lines.push(cut(fact, columns))
  }
  return lines
}

const bar = (share: number, columns: number): string => {
  const full = Math.round(share * columns)
  return "█".repeat(full) + "░".repeat(columns - full)
}

/** How much of the catch-up is done, and in which words. */
export const progress = (table: TableState): { readonly share: number; readonly text: string } => {
  if (table.status === "CaughtUp" && table.catchUp !== undefined) {
    return { share: 1, text: `${count(table.catchUp.records)} records replayed in ${span(table.catchUp.millis)}` }
  }
  if (table.target === 0) return { share: 0, text: "looking for the topic" }
  const share = Math.min(1, table.replayed / table.target)
  return { share, text: `${count(table.replayed)} of ${count(table.target)} offsets` }
}

const statusLine = (table: TableState | undefined, columns: number): ReadonlyArray<Span> => {
  if (table === undefined) return [{ text: "○ no table yet", style: "dim" }]
  const { share, text } = progress(table)
  const percent = `${String(Math.floor(share * 100)).padStart(3)} %`
  const status = looks[table.status]
  const room = columns - width(status.text) - width(percent) - width(text) - 6
  return [
    status,
    { text: "  " },
    ...(room < 5 ? [] : [{ text: bar(share, Math.min(30, room)), style: "cyan" } as const, { text: " " }]),
    { text: `${percent}  ${text}` }
  ]
}

/** What is counted of a table, each fact by itself. */
export const facts = (table: TableState, rate: number): ReadonlyArray<string> => [
  `${count(table.entries)} entries`,
  `${count(table.records)} records`,
  `${count(table.tombstones)} tombstones`,
  ...(table.undecodable === 0 ? [] : [`${count(table.undecodable)} not decodable`]),
  `lag ${count(table.lag)}`,
  `${count(rate)} changes/s`,
  ...(table.disconnected === 0 ? [] : [`${table.disconnected} of ${table.partitions} partitions disconnected`])
]

const courseFacts = (course: Course): ReadonlyArray<string> => [
  `step ${course.step} of ${course.steps}: ${course.doing}${course.total === 0 ? "" : `, ${count(course.done)} of ${count(course.total)}`}`,
  ...(course.latency === undefined ? [] : [`written to readable in ${span(course.latency)} (median)`])
]

/** A change as a line without colour. */
export const changeText = (change: Change): string =>
  `${signs[change.kind]} ${clean(change.key)}${change.detail === "" ? "" : `  ${clean(change.detail)}`}`

/** The columns that fit: the last ones give way, never the first or the one that takes the rest. */
const layColumns = (columns: ReadonlyArray<Column>, room: number) => {
  const least = 24
  const shown = columns.map((column, index) => ({ ...column, index }))
  const fixed = () => shown.reduce((sum, column) => sum + (column.width === 0 ? 0 : column.width + 2), 0)
  while (room - fixed() < least) {
    const last = shown.findLastIndex((column, i) => i > 0 && column.width > 0)
    if (last === -1) break
    shown.splice(last, 1)
  }
  const rest = Math.max(1, room - fixed())
  return shown.map((column) => (column.width === 0 ? { ...column, width: rest } : column))
}

const tableLines = (picture: Picture, columns: number, rows: number, paint: Paint): ReadonlyArray<string> => {
  const laid = layColumns(picture.columns, columns - 2)
  const rowText = (sign: string, texts: ReadonlyArray<string>) => {
    const cells = laid.map(({ align, index, width }) => fit(clean(texts[index] ?? ""), width, align))
    return cut(`${sign} ${cells.join("  ")}`, columns)
  }
  const head = paint(
    "bold",
    rowText(
      " ",
      picture.columns.map((column) => column.title)
    )
  )
  const body = picture.rows(rows - 1).map(({ cells: texts, mark }) => {
    const text = rowText(mark === undefined ? " " : signs[mark], texts)
    return mark === undefined ? text : paint(styles[mark], text)
  })
  return [head, ...body]
}

const changeLines = (picture: Picture, columns: number, rows: number, paint: Paint): ReadonlyArray<string> => [
  paint("bold", cut("LAST CHANGES", columns)),
  ...(picture.changes.length === 0 ? [paint("dim", cut("none since the table is shown", columns))] : []),
  ...picture.changes
    .slice(0, Math.max(0, rows - 1))
    .map((change) => line(columns, paint, [{ text: changeText(change), style: styles[change.kind] }]))
]

/** The picture in the lines of a terminal of this size. */
export const render = (
  picture: Picture,
  size: { readonly columns: number; readonly rows: number },
  paint: Paint
): ReadonlyArray<string> => {
  const { columns, rows } = size
  const head = [
    line(columns, paint, [{ text: picture.title, style: "bold" }]),
    line(columns, paint, statusLine(picture.table, columns)),
    ...(picture.table === undefined ? [] : wrap(columns, facts(picture.table, picture.rate))),
    ...(picture.course === undefined ? [] : wrap(columns, courseFacts(picture.course))),
    ...(picture.notice === undefined ? [] : [line(columns, paint, [{ text: clean(picture.notice), style: "yellow" }])]),
    ""
  ]
  const foot = picture.hint === undefined ? [] : [line(columns, paint, [{ text: picture.hint, style: "dim" }])]
  const room = rows - head.length - foot.length
  if (picture.table === undefined || room < 3) return [...head, ...foot].slice(0, rows)
  if (columns >= 110) {
    const left = Math.floor(columns * 0.58)
    const table = tableLines(picture, left, room, paint)
    const changes = changeLines(picture, columns - left - 3, room, paint)
    const sides = Array.from({ length: room }, (_, i) => {
      const text = table[i]
      return `${text ?? " ".repeat(left)} ${paint("dim", "│")} ${changes[i] ?? ""}`
    })
    return [...head, ...sides, ...foot]
  }
  const share = room < 8 ? room : Math.ceil(room * 0.6)
  const table = tableLines(picture, columns, share, paint)
  const filled = [...table, ...Array.from({ length: share - table.length }, () => "")]
  return room < 8
    ? [...head, ...table, ...foot]
    : [...head, ...filled, "", ...changeLines(picture, columns, room - share - 1, paint), ...foot]
}
