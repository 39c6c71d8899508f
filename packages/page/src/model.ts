/** What the page shows and what the person has chosen, as signals, and the address that says it. */
import { computed, effect, signal } from "@preact/signals"
import { relation, type TablePosition } from "effect-ktables/TablePosition"
import {
  parseToken,
  type WireEntry,
  type WireStatus,
  type WireTable,
  type WireValue
} from "../../http/src/internal/wire.ts"
import { type Connection, follow, type Following, listTables } from "./connection.ts"
import { valueOf } from "./json.ts"
import { type Past, readPast } from "./past.ts"
import { type Entry, type Filter, Replica } from "./replica.ts"
import { day } from "./words.ts"

/** Records of the log that are shown of an entry, and where more are asked for. */
const PAST = 50
const MORE_PAST = 1000
/** Seconds of activity that are kept. */
const POINTS = 30

const chosen = new URLSearchParams(location.hash.slice(1))

/** Undefined until the server has answered once. */
export const tables = signal<ReadonlyArray<WireTable> | undefined>(undefined)
export const tableName = signal<string | undefined>(chosen.get("table") ?? undefined)
export const selectedKey = signal<string | undefined>(chosen.get("key") ?? undefined)
export const filter = signal<Filter>({
  by: chosen.get("by") === "text" ? "text" : "prefix",
  text: chosen.get("filter") ?? ""
})
/** Whether the detail covers the list, where there is no room for both. */
export const isDetailOpen = signal(chosen.has("key"))
/** Whether there is room for one of both only. */
export const isNarrow = signal(false)
/** Whether the detail covers everything else now. */
export const isCovered = computed(() => isNarrow.value && isDetailOpen.value)
export const isHelpOpen = signal(false)
/** What the log says of the entry that is chosen; undefined where the server does not read it. */
export const past = signal<Past | undefined>(undefined)
/** Records of the log that are asked for. */
const pastLimit = signal(PAST)
export const replica = signal(new Replica())
/** How much has arrived of the snapshot that is being read; undefined once it is complete. */
export const loading = signal<{ readonly received: number; readonly size: number } | undefined>(undefined)
/** Of the table that is followed, as it says itself; the list says it later. */
const status = signal<WireStatus | undefined>(undefined)
export const following = signal<Connection>({ _tag: "Connecting" })
export const listing = signal<Connection>({ _tag: "Connecting" })
/** Records that tables have read in each of the last seconds, newest last. */
export const activity = signal<ReadonlyMap<string, ReadonlyArray<number>>>(new Map())
/** Milliseconds since the epoch, on every second. */
export const now = signal(Date.now())
export const today = computed(() => day(now.value))

export const table = computed(() => {
  const listed = tables.value?.find(({ name }) => name === tableName.value)
  return listed === undefined || status.value === undefined ? listed : { ...listed, status: status.value }
})

/** The worse of the two: the list of tables, and the one that is followed. */
export const connection = computed<Connection>(() =>
  following.value._tag === "Lost" || tableName.value === undefined || listing.value._tag !== "Lost"
    ? tableName.value === undefined
      ? listing.value
      : following.value
    : listing.value
)

export const selectTable = (name: string): void => {
  if (name === tableName.value) return
  selectedKey.value = undefined
  isDetailOpen.value = false
  filter.value = { ...filter.value, text: "" }
  tableName.value = name
}

export const select = (key: string | undefined): void => {
  selectedKey.value = key
  if (key === undefined) isDetailOpen.value = false
}

export const open = (key: string): void => {
  selectedKey.value = key
  isDetailOpen.value = true
}

/** Reads the log again, further back. */
export const readMorePast = (): void => {
  pastLimit.value = MORE_PAST
}
const hasHistory = computed(() => table.value?.history === true)
/** Grows where what was read of the log may be of another one, or is to be tried again. */
const pastReading = signal(0)
export const readPastAgain = (): void => {
  pastReading.value = pastReading.peek() + 1
}

let list: Following | undefined
let current: Following | undefined

const entryOf = (entry: WireEntry): Entry =>
  entry.length === 1 ? entry : [entry[0], valueOf(entry.slice(1) as unknown as WireValue)]

/** Of each table, the furthest position that a server has told. */
const furthest = new Map<string, TablePosition>()

const offsetsOf = (position: TablePosition): number =>
  position.reduce((sum, { partitions }) => partitions.reduce((sum, { offset }) => sum + offset, sum), 0)

/** How many records a table has read since it was listed last; nothing where another server told more before. */
const readSince = ({ at, name }: WireTable): number | undefined => {
  const token = parseToken(at)
  if (token?._tag !== "Position") return undefined
  const before = furthest.get(name)
  const order = before === undefined ? "differs" : relation(token.position, before)
  if (order !== "lacks") furthest.set(name, token.position)
  return before === undefined ? undefined : order === "has" ? offsetsOf(token.position) - offsetsOf(before) : 0
}

/** Begins to follow the server; nothing ends it but the page's end. */
export const start = (): void => {
  list = listTables({
    onTables: (served) => {
      const points = new Map<string, ReadonlyArray<number>>()
      for (const table of served) {
        const known = activity.value.get(table.name) ?? []
        const read = readSince(table)
        points.set(table.name, read === undefined ? known : [...known.slice(1 - POINTS), read])
      }
      activity.value = points
      tables.value = served
      if (!served.some(({ name }) => name === tableName.value)) tableName.value ??= served[0]?.name
    },
    onConnection: (state) => {
      // One that has found the server again wakes the other.
      if (state._tag === "Live" && listing.peek()._tag === "Lost") current?.retry()
      listing.value = state
    }
  })

  effect(() => {
    const name = tableName.value
    if (name === undefined) return
    let entries = new Replica()
    let isComplete = false
    let isOver = false
    /** What is to be shown in one step with what is still to come. */
    let gathered: Array<Entry> = []
    const shows = (received: ReadonlyArray<WireEntry>) => {
      for (const entry of received) gathered.push(entryOf(entry))
      const all = gathered
      gathered = []
      return all
    }
    replica.value = entries
    loading.value = { received: 0, size: 0 }
    status.value = undefined
    following.value = { _tag: "Connecting" }
    current = follow(name, {
      onMessage: (message) => {
        switch (message._tag) {
          case "Begun":
            gathered = []
            if (isComplete) return
            // What there was of a snapshot that was cut is no part of this one.
            if (loading.peek()!.received > 0) replica.value = entries = new Replica()
            loading.value = { received: 0, size: message.size }
            return
          case "Entries": {
            const all = shows(message.entries)
            if (isComplete) gathered = all
            else {
              entries.apply(all, [])
              const { received, size } = loading.peek()!
              loading.value = { received: received + all.length, size }
            }
            return
          }
          case "Replaced":
            status.value = message.status
            if (message.isReset) readPastAgain()
            if (isComplete) return entries.replace(shows([]), message.place.position, () => isOver)
            isComplete = true
            entries.complete()
            loading.value = undefined
            return
          case "Changed":
            return entries.apply(shows(message.entries), message.place.position)
          case "Resumed":
            gathered = []
            status.value = message.status
            return
          case "Status":
            status.value = message.status
        }
      },
      onConnection: (state) => {
        if (state._tag === "Live" && following.peek()._tag === "Lost") list?.retry()
        following.value = state
      }
    })
    const { close } = current
    return () => {
      isOver = true
      close()
    }
  })

  effect(() => replica.value.show(filter.value))

  effect(() => {
    void selectedKey.value
    pastLimit.value = PAST
  })
  effect(() => {
    void pastReading.value
    past.value = undefined
    const [table, key] = [tableName.value, selectedKey.value]
    if (table === undefined || key === undefined || !hasHistory.value) return
    past.value = { _tag: "Reading" }
    return readPast({ table, key, limit: pastLimit.value }, (read) => (past.value = read))
  })

  const narrow = matchMedia("(max-width: 1100px)")
  isNarrow.value = narrow.matches
  narrow.addEventListener("change", () => (isNarrow.value = narrow.matches))

  effect(() => {
    const said = new URLSearchParams()
    if (tableName.value !== undefined) said.set("table", tableName.value)
    if (filter.value.text !== "") {
      said.set("by", filter.value.by)
      said.set("filter", filter.value.text)
    }
    if (selectedKey.value !== undefined) said.set("key", selectedKey.value)
    history.replaceState(null, "", `#${said}`)
  })

  setInterval(() => (now.value = Date.now()), 1000)
  addEventListener("online", retry)
}

/** Does not wait for the next attempt. */
export const retry = (): void => {
  list?.retry()
  current?.retry()
}
