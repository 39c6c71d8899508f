/**
 * The changes of a table as events, made once for all clients: each client is a place in them. Events are kept up to a number
 * of bytes; a client that is further back is given a snapshot, so that one that is stuck costs its place and no more.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as TablePosition from "effect-ktables/TablePosition"
import * as TableReplication from "effect-ktables/TableReplication"
import type { TableStatus } from "effect-ktables/TableStatus"
import { done, type Served } from "./served.ts"
import * as Wire from "./wire.ts"

export interface Settings {
  /** Milliseconds between two events, at least. */
  readonly flushEvery: number
  /** Milliseconds within which something is sent, at least. */
  readonly keepAlive: number
  /** Bytes of events that are kept for those who are late. */
  readonly retained: number
}

/** Characters of entries in an event; an entry that is larger comes whole. */
const CHUNK = 64 * 1024
/** Changes that may wait for being made an event; with more, everybody is given a snapshot. */
const MOST_PENDING = 65_536
/** Milliseconds after which a position that moved without a change is sent. */
const MOVED = 250
/** Milliseconds of encoding between two yields. */
const SLICE = 4

interface Event {
  readonly seq: number
  readonly bytes: Uint8Array
}

/** Snapshots that are read at a time: those who read an older one begin again, so that who is stuck holds no old entries. */
const MOST_SNAPSHOTS = 4
/** Milliseconds for which the newest is kept that nobody reads: clients that come one after another share it. */
const UNREAD = 2000

/** A snapshot whose events are made when they are first asked for, for all who read it. */
class Snapshot {
  /** The event that it stands after. */
  readonly seq: number
  readonly position: TablePosition.TablePosition
  readonly size: number
  readonly end: Uint8Array
  readers = 0
  /** When it was first seen without readers. */
  unreadSince: number | undefined
  readonly #lock = Semaphore.makeUnsafe(1)
  readonly #make: Effect.Effect<Uint8Array | undefined>
  #chunks: Array<Uint8Array> | undefined = []

  /** @param make makes the next event; undefined where there is none left */
  constructor(
    seq: number,
    position: TablePosition.TablePosition,
    size: number,
    end: Uint8Array,
    make: Effect.Effect<Uint8Array | undefined>
  ) {
    this.seq = seq
    this.position = position
    this.size = size
    this.end = end
    this.#make = make
  }

  get isDropped(): boolean {
    return this.#chunks === undefined
  }
  drop(): void {
    this.#chunks = undefined
  }

  /** The event at a place; undefined after the last. */
  at(place: number): Effect.Effect<Uint8Array | undefined> {
    return Effect.suspend(() => {
      const made = this.#chunks?.[place]
      if (made !== undefined || this.#chunks === undefined) return Effect.succeed(made)
      return this.#lock.withPermit(
        Effect.suspend(() => {
          const known = this.#chunks?.[place]
          if (known !== undefined || this.#chunks === undefined) return Effect.succeed(known)
          return Effect.tap(this.#make, (chunk) => {
            if (chunk !== undefined) this.#chunks?.push(chunk)
            return Effect.void
          })
        })
      )
    })
  }
}

/** Where a client says that it is. */
export interface Resume {
  readonly gen: string
  readonly seq: number
}

const randomGen = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(9))
  return Wire.toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_")
}

export const statusOf = (status: TableStatus<unknown>): Wire.WireStatus => {
  switch (status._tag) {
    case "Loading":
    case "Degraded":
      return { _tag: status._tag, replayed: status.replayed, target: status.target }
    case "Rebuilding":
      return { _tag: status._tag, replayed: status.replayed, target: status.target, reason: reasonOf(status.reason) }
    case "Failed":
      return { _tag: status._tag, reason: reasonOf(status.error) }
    default:
      return { _tag: status._tag }
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

export class Hub<K, V> {
  readonly gen: string = randomGen()
  readonly #served: Served<K, V>
  readonly #prefix: string
  readonly #settings: Settings
  readonly #lock = Semaphore.makeUnsafe(1)
  #followed!: TableReplication.Followed<K, V>

  /** The last event, and the first that is kept. */
  #seq = 0
  readonly #events: Array<Event> = []
  #bytes = 0
  /** The last event by which positions went down. */
  #resetAt = 0
  #position: TablePosition.TablePosition = []
  /** Those that are read, the newest last. */
  #snapshots: Array<Snapshot> = []

  #pending: Array<TableReplication.Change<K, V>> = []
  /** More came than is kept. */
  #hasLost = false
  #status: TableStatus<unknown> = { _tag: "CaughtUp" }
  #isStatusNew = false
  #flushedAt = Number.NEGATIVE_INFINITY
  #wake: (() => void) | undefined
  #isOver = false
  readonly #clients = new Set<() => void>()
  /** Entries that could not be written, which are left out, and how many of them the log knows of. */
  #unwritten = 0
  #reported = 0
  readonly #streams: Metric.Gauge<number>

  constructor(served: Served<K, V>, prefix: string, settings: Settings) {
    this.#served = served
    this.#prefix = prefix
    this.#settings = settings
    this.#streams = Metric.gauge("ktables_http_streams", { description: "Streams of changes that are open" }).pipe(
      Metric.withAttributes({ table: served.name, prefix })
    )
  }

  /** Follows the table for as long as the scope is open. */
  readonly start: Effect.Effect<void, never, Scope.Scope> = Effect.gen({ self: this }, function* () {
    const { table } = this.#served
    yield* Effect.addFinalizer(() => Effect.sync(() => this.end()))
    this.#followed = yield* TableReplication.follow(table, (changes) => this.#receive(changes))
    this.#position = this.#followed.position()
    this.#status = yield* table.status
    yield* Effect.forkScoped(
      Effect.andThen(
        Stream.runForEach(table.statusChanges, (status) =>
          Effect.sync(() => {
            if (status === this.#status) return
            this.#status = status
            this.#isStatusNew = true
            this.#news()
          })
        ),
        Effect.sync(() => this.end())
      )
    )
    yield* Effect.forkScoped(this.#run)
  })

  /** All streams end. */
  end(): void {
    this.#isOver = true
    this.#wakeClients()
  }

  // ---------------------------------------------------------------------------------------------- events

  #receive(changes: ReadonlyArray<TableReplication.Change<K, V>>): void {
    if (this.#hasLost) return
    if (this.#pending.length + changes.length > MOST_PENDING) {
      this.#pending = []
      this.#hasLost = true
    } else for (const change of changes) this.#pending.push(change)
    this.#news()
  }

  #news(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  get #hasNews(): boolean {
    return this.#pending.length > 0 || this.#hasLost || this.#isStatusNew
  }

  readonly #awaitNews = Effect.callback<void>((resume) => {
    if (this.#hasNews) return resume(Effect.void)
    this.#wake = () => resume(Effect.void)
    return Effect.sync(() => {
      this.#wake = undefined
    })
  })

  readonly #run: Effect.Effect<never> = Effect.forever(
    Effect.gen({ self: this }, function* () {
      const { flushEvery, keepAlive } = this.#settings
      yield* Effect.timeoutOption(this.#awaitNews, Math.min(MOVED, keepAlive))
      const now = yield* Clock.currentTimeMillis
      const wait = this.#flushedAt + flushEvery - now
      // Also where there is none: what was resumed within a commit leaves it.
      yield* wait > 0 ? Effect.sleep(wait) : Effect.yieldNow
      yield* this.#lock.withPermit(this.#flush)
      this.#dropUnread(yield* Clock.currentTimeMillis)
      if (this.#unwritten === this.#reported) return
      this.#reported = this.#unwritten
      yield* Effect.logWarning(
        `${this.#served.name}: ${this.#unwritten} entries were left out so far, since their key or value could not be written`
      )
    })
  )

  /** Makes events of what came since the last, up to one moment, and hands back the entries of that moment. */
  readonly #flush: Effect.Effect<HashMap.HashMap<K, V>> = Effect.gen({ self: this }, function* () {
    const now = yield* Clock.currentTimeMillis
    const entries = this.#followed.entries()
    const position = this.#followed.position()
    const changes = this.#pending
    const hasLost = this.#hasLost
    const isStatusNew = this.#isStatusNew
    const status = this.#status
    this.#pending = []
    this.#hasLost = this.#isStatusNew = false

    const moved = Wire.movedSince(this.#position, position)
    const isReset = moved.length > 0 && TablePosition.relation(position, this.#position) !== "has"
    const isDue = now - this.#flushedAt >= this.#settings.keepAlive
    this.#position = position
    if (hasLost) {
      this.#forget(isReset, now)
      return entries
    }
    if (isStatusNew) this.#append("status", JSON.stringify(statusOf(status)), now)
    if (changes.length === 0 && moved.length === 0 && !isDue) return entries
    const texts = yield* this.#print(changes)
    const last = texts.pop() ?? ""
    const total = texts.reduce((sum, text) => sum + text.length, last.length)
    if (total > this.#settings.retained) {
      this.#forget(isReset, now)
      return entries
    }
    const at = JSON.stringify(Wire.toWire(moved))
    const data = `{"at":${at}${isReset ? ',"reset":true' : ""},"changes":[${last}]}`
    if (isReset) this.#resetAt = this.#seq + 1
    this.#append("changes", data, now, texts)
    return entries
  })

  /** Nobody can be given what came: everybody is given a snapshot. */
  #forget(isReset: boolean, now: number): void {
    this.#seq++
    if (isReset) this.#resetAt = this.#seq
    this.#events.length = 0
    this.#bytes = 0
    this.#flushedAt = now
    this.#wakeClients()
  }

  /** @param before entries that come before it, and are not to be applied without it */
  #append(event: string, data: string, now: number, before: ReadonlyArray<string> = []): void {
    const seq = ++this.#seq
    const head = before.map((text) => `event: entries\ndata: [${text}]\n\n`).join("")
    const bytes = Wire.encodeText(`${head}event: ${event}\nid: ${this.gen}.${seq}\ndata: ${data}\n\n`)
    this.#events.push({ seq, bytes })
    this.#bytes += bytes.length
    while (this.#bytes > this.#settings.retained && this.#events.length > 1) {
      this.#bytes -= this.#events.shift()!.bytes.length
    }
    this.#flushedAt = now
    this.#wakeClients()
  }

  #wakeClients(): void {
    const waiting = [...this.#clients]
    for (const wake of waiting) wake()
  }

  /** The JSON of changes, in pieces. */
  #print(changes: ReadonlyArray<TableReplication.Change<K, V>>): Effect.Effect<Array<string>> {
    return this.#inPieces(changes, (change) =>
      this.#printEntry(change.key, change._tag === "Set" ? { value: change.value } : undefined, true)
    )
  }

  /** @param isChange a deletion stands for what cannot be written */
  #printEntry(key: K, entry: { readonly value: V } | undefined, isChange: boolean): string | Effect.Effect<string> {
    const text = this.#served.textOf(key)
    const printed = entry === undefined ? undefined : this.#served.printed(entry.value)
    const finish = (name: string | undefined, value: string | undefined): string => {
      if (name === undefined || (entry !== undefined && value === undefined)) {
        this.#unwritten++
        return name === undefined || !isChange || !name.startsWith(this.#prefix) ? "" : `[${JSON.stringify(name)}]`
      }
      if (!name.startsWith(this.#prefix)) return ""
      return value === undefined ? `[${JSON.stringify(name)}]` : `[${JSON.stringify(name)},${value}]`
    }
    const [name, value] = [done(text), printed === undefined ? { value: undefined } : done(printed)]
    if (name !== undefined && value !== undefined) return finish(name.value, value.value)
    return Effect.flatMap(text, (name) =>
      Effect.map(printed ?? Effect.succeed(undefined), (value) => finish(name, value))
    )
  }

  readonly #inPieces = Effect.fnUntraced({ self: this }, function* <
    A
  >(items: Iterable<A>, print: (item: A) => string | Effect.Effect<string>) {
    const pieces: Array<string> = []
    let texts: Array<string> = []
    let length = 0
    let since = performance.now()
    let n = 0
    for (const item of items) {
      const printed = print(item)
      const text = typeof printed === "string" ? printed : yield* printed
      if (text !== "") {
        texts.push(text)
        length += text.length
      }
      if (length > CHUNK) {
        pieces.push(texts.join(","))
        texts = []
        length = 0
      }
      if (++n % 64 === 0 && performance.now() - since > SLICE) {
        yield* Effect.yieldNow
        since = performance.now()
      }
    }
    if (texts.length > 0) pieces.push(texts.join(","))
    return pieces
  })

  // ---------------------------------------------------------------------------------------------- snapshots

  /** One that is made for somebody already, where it is as new as is wanted and the events after it are kept, or one of now. */
  #takeSnapshot(wanted: TablePosition.TablePosition): Effect.Effect<Snapshot> {
    return this.#lock.withPermit(
      Effect.gen({ self: this }, function* () {
        const newest = this.#snapshots.at(-1)
        if (
          newest !== undefined &&
          this.#keeps(newest.seq) &&
          TablePosition.relation(newest.position, wanted) === "has"
        ) {
          return newest
        }
        const snapshot = this.#snapshotOf(yield* this.#flush)
        this.#snapshots.push(snapshot)
        if (this.#snapshots.length > MOST_SNAPSHOTS) this.#snapshots.shift()!.drop()
        return snapshot
      })
    )
  }

  /** To be called in the step in which a flush has ended. */
  #snapshotOf(entries: HashMap.HashMap<K, V>): Snapshot {
    const rest = entries[Symbol.iterator]()
    const make = Effect.gen({ self: this }, function* () {
      const texts: Array<string> = []
      let length = 0
      let since = performance.now()
      while (length < CHUNK) {
        const entry = rest.next()
        if (entry.done === true) break
        const printed = this.#printEntry(entry.value[0], { value: entry.value[1] }, false)
        const text = typeof printed === "string" ? printed : yield* printed
        if (text !== "") {
          texts.push(text)
          length += text.length
        }
        if (performance.now() - since > SLICE) {
          yield* Effect.yieldNow
          since = performance.now()
        }
      }
      return texts.length === 0 ? undefined : Wire.printEvent("entries", `[${texts.join(",")}]`)
    })
    const caughtUp: Wire.CaughtUp = { at: Wire.toWire(this.#position), status: statusOf(this.#status) }
    const end = Wire.printEvent("caughtup", JSON.stringify(caughtUp), `${this.gen}.${this.#seq}`)
    return new Snapshot(this.#seq, this.#position, HashMap.size(entries), end, make)
  }

  /** Drops what nobody reads, but for the newest while a client that comes can still begin with it. */
  #dropUnread(now: number): void {
    const newest = this.#snapshots.at(-1)
    this.#snapshots = this.#snapshots.filter((snapshot) => {
      snapshot.unreadSince = snapshot.readers > 0 ? undefined : (snapshot.unreadSince ?? now)
      if (snapshot.unreadSince === undefined) return true
      if (snapshot === newest && this.#keeps(snapshot.seq) && now - snapshot.unreadSince < UNREAD) return true
      snapshot.drop()
      return false
    })
  }

  /** Whether all events after one are kept. */
  #keeps(seq: number): boolean {
    return seq <= this.#seq && seq + 1 >= (this.#events[0]?.seq ?? this.#seq + 1)
  }

  /** Whether a client of this hub can go on where it says that it is. */
  resumes({ gen, seq }: Resume): boolean {
    return gen === this.gen && this.#keeps(seq)
  }

  // ---------------------------------------------------------------------------------------------- clients

  /**
   * The events for a client, from where it is.
   *
   * @param resume where that is; undefined for a client that has nothing of this hub
   * @param wanted the position that a snapshot for it has at least; undefined where what it has is of another log
   */
  stream(resume: Resume | undefined, wanted: TablePosition.TablePosition | undefined): Stream.Stream<Uint8Array> {
    return Stream.suspend(() => {
      let at = resume !== undefined && resume.gen === this.gen ? resume.seq : -1
      let reset = wanted === undefined
      let hasBegun = false
      let reading: { readonly snapshot: Snapshot; readonly place: number } | undefined
      let wake: (() => void) | undefined
      const onNews = (): void => {
        const resumed = wake
        wake = undefined
        resumed?.()
      }
      const leave = (): void => {
        if (reading !== undefined) reading.snapshot.readers--
        reading = undefined
      }
      const news = Effect.callback<void>((resume) => {
        if (this.#isOver || this.#seq !== at) return resume(Effect.void)
        wake = () => resume(Effect.void)
        return Effect.sync(() => {
          wake = undefined
        })
      })
      type Chunk = readonly [Uint8Array, ...Array<Uint8Array>]
      const step: Effect.Effect<Chunk, Cause.Done> = Effect.suspend(() => {
        if (this.#isOver) return Cause.done()
        if (reading !== undefined) {
          const { place, snapshot } = reading
          return Effect.flatMap(snapshot.at(place), (event): Effect.Effect<Chunk, Cause.Done> => {
            if (event !== undefined) {
              reading = { snapshot, place: place + 1 }
              return Effect.succeed([event])
            }
            const { isDropped } = snapshot
            leave()
            // It begins again.
            if (isDropped) return step
            at = snapshot.seq
            return Effect.succeed([snapshot.end])
          })
        }
        if (at < 0 || !this.#keeps(at)) {
          const wasAt = at
          return Effect.map(this.#takeSnapshot(wanted ?? []), (snapshot): Chunk => {
            snapshot.readers++
            reading = { snapshot, place: 0 }
            const begin: Wire.SnapshotBegin = {
              size: snapshot.size,
              reset: reset || (wasAt >= 0 && wasAt < this.#resetAt),
              keepAlive: this.#settings.keepAlive
            }
            reset = false
            hasBegun = true
            return [Wire.printEvent("snapshot", JSON.stringify(begin))]
          })
        }
        if (!hasBegun) {
          hasBegun = true
          const resumed: Wire.Resumed = { keepAlive: this.#settings.keepAlive, status: statusOf(this.#status) }
          return Effect.succeed([Wire.printEvent("resumed", JSON.stringify(resumed))])
        }
        if (at < this.#seq) {
          const first = at + 1 - this.#events[0]!.seq
          const chunk: Array<Uint8Array> = []
          let length = 0
          for (let i = first; i < this.#events.length && length < CHUNK; i++) {
            const event = this.#events[i]!
            chunk.push(event.bytes)
            length += event.bytes.length
            at = event.seq
          }
          return Effect.succeed(chunk as unknown as Chunk)
        }
        return Effect.andThen(news, step)
      })
      return Stream.fromPull(
        Effect.as(
          Effect.acquireRelease(
            Effect.suspend(() => {
              this.#clients.add(onNews)
              return Metric.update(this.#streams, this.#clients.size)
            }),
            () =>
              Effect.suspend(() => {
                this.#clients.delete(onNews)
                leave()
                return Metric.update(this.#streams, this.#clients.size)
              })
          ),
          step
        )
      ).pipe(Stream.scoped)
    })
  }
}

export const make = <K, V>(
  served: Served<K, V>,
  prefix: string,
  settings: Settings
): Effect.Effect<Hub<K, V>, never, Scope.Scope> =>
  Effect.suspend(() => {
    const hub = new Hub(served, prefix, settings)
    return Effect.as(hub.start, hub)
  })
