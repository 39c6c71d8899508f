/**
 * A watched topic on a terminal: a screen of its own, with the newest records on top, drawn again when something changed.
 */
import { Clock, Effect, type Scope, Stream } from "effect"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"
import type { TableChange } from "effect-ktables/TableChange"
import type { Entry } from "./entries.ts"
import type { CommandFailed } from "./failure.ts"
import type { Follower } from "./follower.ts"
import { plain } from "./formats.ts"
import { age, counted, cut, draw, table } from "./output.ts"
import type { RawTable } from "./reading.ts"
import { RecentRows, type Row } from "./recentRows.ts"
import type { Settings } from "./settings.ts"

/** Milliseconds between two drawings: more often nobody reads. */
const FRAME = 100

/** Milliseconds for which a change stands out. */
const FLASH = 2000

const ENTER = "\u001b[?1049h\u001b[?25l"
const LEAVE = "\u001b[?25h\u001b[?1049l"
const HOME = "\u001b[H"
const CLEAR_LINE = "\u001b[K"
const REST = "\u001b[J"

interface Frame {
  readonly topic: string
  readonly status: string
  /** Entries of the table. */
  readonly size: number
  /** As many as there is room for, the newest first. */
  readonly rows: ReadonlyArray<Row>
  readonly now: number
  readonly width: number
  readonly color: boolean
}

/** Lines above the rows. */
const HEADS = 3

/** The lines of a screen, none wider than it is. */
export const frame = (
  settings: Pick<Settings, "key" | "value">,
  { color, now, rows, size, status, topic, width }: Frame
): ReadonlyArray<string> => {
  const cells = rows.map((row) => {
    const { key, value } = row.cells(settings)
    const { entry } = row
    return entry === undefined ? [key, "", "", value] : [key, String(entry.offset), age(entry.timestamp, now), value]
  })
  const [head, ...body] = table(["KEY", "OFFSET", "AGE", "VALUE"], cells, { width, flexible: 3 }).map((line) =>
    cut(line, width)
  )
  const styled = body.map((line, i) => {
    const { changedAt, entry } = rows[i]!
    if (!color || changedAt < 0 || now - changedAt >= FLASH) return line
    return `\u001b[${entry === undefined ? 31 : 32}m${line}\u001b[0m`
  })
  const present = rows.filter(({ entry }) => entry !== undefined).length
  const more = size > present ? `, the newest ${present} shown` : ""
  const title = cut(`${plain(topic)}: ${status}, ${counted(size)}${more}`, width)
  return [color ? `\u001b[1m${title}\u001b[0m` : title, cut("Ctrl-C ends", width), head!, ...styled]
}

/**
 * What draws the lines over those that were there. A line is cleared before it is written: a terminal whose last column was just
 * written has its cursor still on it, and would clear that column, too.
 */
export const screen = (lines: ReadonlyArray<string>, height: number): string => {
  const shown = lines.slice(0, height)
  return HOME + shown.map((line) => CLEAR_LINE + line).join("\r\n") + (shown.length < height ? `\r\n${REST}` : "")
}

const statusOf = Effect.fnUntraced(function* (read: RawTable) {
  const { connected, status } = yield* read.health
  if (!connected) return "disconnected"
  return status._tag === "CaughtUp" ? "live" : status._tag.toLowerCase()
})

export const view = Effect.fnUntraced(function* (
  settings: Settings,
  read: RawTable,
  batches: Stream.Stream<ReadonlyArray<TableChange<Uint8Array, Entry>>, CommandFailed>,
  follower: Follower
): Effect.fn.Return<void, CommandFailed, Scope.Scope> {
  const { canColor } = yield* TerminalCapabilities
  const rows = new RecentRows()
  yield* Effect.acquireRelease(draw(ENTER), () => draw(LEAVE))
  let drawn = ""
  const paint = Effect.gen(function* () {
    // A terminal may say that it has none.
    const [width, height] = [process.stdout.columns || 80, process.stdout.rows || 24]
    const lines = frame(settings, {
      topic: read.topic,
      status: yield* statusOf(read),
      size: follower.size,
      rows: rows.newest(Math.max(0, height - HEADS)),
      now: yield* Clock.currentTimeMillis,
      width,
      color: canColor
    })
    const next = screen(lines, height)
    if (next === drawn) return
    drawn = next
    yield* draw(next)
  })
  yield* Effect.forkScoped(Effect.forever(Effect.delay(paint, FRAME)))
  yield* Stream.runForEach(batches, (batch) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      for (const change of batch) for (const what of follower.apply(change)) rows.show(what, follower, now)
    })
  )
})
