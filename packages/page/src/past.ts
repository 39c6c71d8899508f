/** What became of a key before the page looked, as the log has it, and what the page saw after that. */
import type { WireHeader, WireHistory, WireVersion } from "../../http/src/internal/wire.ts"
import { isSame, valueOf } from "./json.ts"
import type { ChangeKind, Version } from "./replica.ts"

export type Past =
  | { readonly _tag: "Reading" }
  | { readonly _tag: "Read"; readonly history: WireHistory }
  | { readonly _tag: "Failed"; readonly reason: string }

/** How long a key has to be chosen before the log is read for it. */
const PAUSE = 250

/** Reads the log for a key, after a pause, in which another one may be chosen. */
export const readPast = (
  options: { readonly table: string; readonly key: string; readonly limit: number },
  onPast: (past: Past) => void
): (() => void) => {
  const end = new AbortController()
  const read = async () => {
    const { key, limit, table } = options
    try {
      // Not as a segment of the path, where `.` and `..` mean something else.
      const path = `tables/${encodeURIComponent(table)}/history?key=${encodeURIComponent(key)}&limit=${limit}`
      const response = await fetch(path, { signal: end.signal, cache: "no-store" })
      if (response.ok) return onPast({ _tag: "Read", history: (await response.json()) as WireHistory })
      const { message }: { readonly message?: string } = await response.json().catch(() => ({}))
      onPast({ _tag: "Failed", reason: message ?? `the server answers ${response.status}` })
    } catch {
      if (!end.signal.aborted) onPast({ _tag: "Failed", reason: "the server does not answer" })
    }
  }
  const timer = setTimeout(() => void read(), PAUSE)
  return () => {
    clearTimeout(timer)
    end.abort()
  }
}

const textOf = ([name, value, form]: WireHeader): string =>
  `${name}: ${value === null ? "(null)" : form === undefined ? value : `(base64) ${value}`}`

/** The versions of a key, oldest first: those of the log, and those that the page has seen after the log was read. */
export const versionsOf = (history: WireHistory, seen: ReadonlyArray<Version>): ReadonlyArray<Version> => {
  const isWhole = history.older === 0 && history.partitions.every(({ completeFrom }) => completeFrom === 0)
  const versions: Array<Version> = []
  const kindOf = ({ value }: WireVersion): ChangeKind | "set" => {
    if (value === undefined) return "deleted"
    const before = versions.at(-1)
    if (before === undefined) return isWhole ? "added" : "set"
    return before.kind === "deleted" ? "added" : "changed"
  }
  for (const version of history.versions) {
    const { error, headers, offset, partition, timestamp } = version
    versions.push({
      id: `${partition}/${offset}`,
      kind: kindOf(version),
      value: version.value === undefined ? undefined : valueOf(version.value),
      at: timestamp,
      position: [],
      record: { partition, offset, headers: headers.map(textOf), error }
    })
  }
  const last = versions.at(-1)
  const later = seen.filter(({ position }) =>
    history.partitions.some(({ offset, partition }) => {
      const topic = position.find(({ topic }) => topic === history.topic)
      const reached = topic?.partitions.find((one) => one.partition === partition)
      return reached !== undefined && reached.offset > offset
    })
  )
  // The log may have been read up to within what came in one step.
  const [first] = later
  const isTwice = first !== undefined && last !== undefined && isSame(first.value, last.value)
  return [...versions, ...(isTwice ? later.slice(1) : later)]
}
