/**
 * A watched topic on a terminal: a screen of its own, with the newest records on top, drawn again when something changed.
 */
import { Clock, Effect, type Scope, Stream } from "effect"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"
import type { TableChange } from "effect-ktables/TableChange"
import { cell, type Entry } from "./entries.ts"
import type { CommandFailed } from "./failure.ts"
import type { Change, Follower } from "./follower.ts"
import { plain } from "./formats.ts"
import { age, counted, cut, draw, table } from "./output.ts"
import type { RawTable } from "./reading.ts"
import type { Settings } from "./settings.ts"

/** Milliseconds between two drawings: more often nobody reads. */
const FRAME = 100

/** Milliseconds for which a change stands out. */
const FLASH = 2000

/** Rows that are kept: more than a screen has. */
const ROWS = 500

const ENTER = "\u001b[?1049h\u001b[?25l"
const LEAVE = "\u001b[?25h\u001b[?1049l"
const HOME = "\u001b[H"
const END_OF_LINE = "\u001b[K"
const REST = "\u001b[J"

interface Row {
  readonly key: string
  /** Undefined once it is deleted. */
  readonly entry: Entry | undefined
  /** When this was noticed, in milliseconds since the epoch; -1 where it was there at the beginning. */
  readonly changedAt: number
}

interface Frame {
  readonly topic: string
  readonly status: string
  readonly size: number
  /** The newest first. */
  readonly rows: ReadonlyArray<Row>
  readonly now: number
  readonly width: number
  readonly height: number
  readonly color: boolean
}

/** The lines of a screen, none wider or more than it has room for. */
const frame = (settings: Settings, { color, height, now, rows, size, status, topic, width }: Frame) => {
  const room = Math.max(0, height - 3)
  const visible = rows.slice(0, room)
  const cells = visible.map(({ entry, key }) =>
    entry === undefined
      ? [key, "", "", "(deleted)"]
      : [key, String(entry.offset), age(entry.timestamp, now), cell(settings.value, entry.value)]
  )
  const [head, ...body] = table(["KEY", "OFFSET", "AGE", "VALUE"], cells, { width, flexible: 3 }).map((line) =>
    cut(line, width)
  )
  const styled = body.map((line, i) => {
    const { changedAt, entry } = visible[i]!
    if (!color || changedAt < 0 || now - changedAt >= FLASH) return line
    return `\u001b[${entry === undefined ? 31 : 32}m${line}\u001b[0m`
  })
  const more = size > visible.length ? `, the newest ${visible.length} shown` : ""
  const title = cut(`${plain(topic)}: ${status}, ${counted(size)}${more}`, width)
  return [color ? `\u001b[1m${title}\u001b[0m` : title, cut("Ctrl-C ends", width), head!, ...styled]
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
  /** By key, the newest last. */
  const rows = new Map<string, Row>()
  const put = (row: Row): void => {
    rows.delete(row.key)
    rows.set(row.key, row)
    if (rows.size <= ROWS) return
    for (const oldest of rows.keys()) {
      rows.delete(oldest)
      break
    }
  }
  const begin = (): void => {
    const newest = [...follower.entries].sort((a, b) => b.timestamp - a.timestamp || b.offset - a.offset).slice(0, ROWS)
    for (const entry of newest.toReversed()) put({ key: cell(settings.key, entry.key), entry, changedAt: -1 })
  }
  const show = (change: Change, now: number): void => {
    if (change._tag === "Complete") begin()
    else if (change._tag === "Set")
      put({ key: cell(settings.key, change.entry.key), entry: change.entry, changedAt: now })
    else if (change._tag === "Deleted") put({ key: cell(settings.key, change.key), entry: undefined, changedAt: now })
  }
  yield* Effect.acquireRelease(draw(ENTER), () => draw(LEAVE))
  let drawn = ""
  const paint = Effect.gen(function* () {
    const lines = frame(settings, {
      topic: read.topic,
      status: yield* statusOf(read),
      size: follower.size,
      rows: [...rows.values()].toReversed(),
      now: yield* Clock.currentTimeMillis,
      // A terminal may say that it has none.
      width: process.stdout.columns || 80,
      height: process.stdout.rows || 24,
      color: canColor
    })
    const screen = HOME + lines.map((line) => line + END_OF_LINE).join("\r\n") + REST
    if (screen === drawn) return
    drawn = screen
    yield* draw(screen)
  })
  yield* Effect.forkScoped(Effect.forever(Effect.delay(paint, FRAME)))
  yield* Stream.runForEach(batches, (batch) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      for (const change of batch) for (const what of follower.apply(change)) show(what, now)
    })
  )
})
