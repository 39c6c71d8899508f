/** One entry: its value, what became of it, and what differs between two of its values. */
import { signal } from "@preact/signals"
import { useEffect, useMemo } from "preact/hooks"
import { diff, folded } from "../diff.ts"
import { differences, lines, preview, type Line } from "../json.ts"
import {
  isCovered,
  isDetailOpen,
  now,
  today,
  open,
  past,
  readMorePast,
  readPastAgain,
  replica,
  select,
  selectedKey
} from "../model.ts"
import { versionsOf } from "../past.ts"
import type { Version } from "../replica.ts"
import { ago, count, moment, plural } from "../words.ts"
import { Text } from "./Text.tsx"

const LONGEST = 3000

const isWhole = signal(false)
/** The version of the history that is compared with the one before it; the newest where none is chosen. */
const chosen = signal<string | undefined>(undefined)
const copied = signal<unknown>(undefined)

selectedKey.subscribe(() => {
  isWhole.value = false
  chosen.value = undefined
})

const verbs = {
  opened: "There when the page opened",
  set: "Set",
  added: "Added",
  changed: "Changed",
  deleted: "Deleted"
}

const Code = ({ value }: { readonly value: unknown }) => {
  const all = lines(value)
  const shown = isWhole.value ? all : all.slice(0, LONGEST)
  return (
    <>
      <pre class="code" tabIndex={0} aria-label="Value as JSON">
        {shown.map((line, i) => (
          <span key={i} class="line">
            <Text line={line} />
            {"\n"}
          </span>
        ))}
      </pre>
      {shown.length === all.length ? null : (
        <button onClick={() => (isWhole.value = true)}>Show {plural(all.length - shown.length, "more line")}</button>
      )}
    </>
  )
}

const Difference = ({ before, after }: { readonly before: unknown; readonly after: unknown }) => {
  const none: ReadonlyArray<Line> = []
  const rows = folded(diff(before === undefined ? none : lines(before), after === undefined ? none : lines(after)), 2)
  return (
    <pre class="code difference" tabIndex={0} aria-label="Difference to the value before">
      {rows.map((row, i) =>
        row.change === "gap" ? (
          <span key={i} class="line gap">
            {plural(row.count, "equal line")}
            {"\n"}
          </span>
        ) : (
          <span key={i} class={`line ${row.change}`}>
            <span class="sign">{row.change === "added" ? "+" : row.change === "removed" ? "−" : " "}</span>
            <Text line={row.line} />
            {"\n"}
          </span>
        )
      )}
    </pre>
  )
}

/** What a change did, in one line. */
export const Summary = ({ before, after }: { readonly before: unknown; readonly after: unknown }) => {
  if (after === undefined) return null
  if (before === undefined) return <Text line={preview(after, 60)} />
  const places = differences(before, after, 4)
  if (places.length === 0) return <span class="mark">the same value again</span>
  return (
    <>
      {places.slice(0, 3).map(({ path, before, after }, i) => (
        <span key={i} class="place">
          {path === "" ? null : <span class="key">{path} </span>}
          {before === undefined ? <span class="mark">none</span> : <Text line={preview(before, 24)} />}
          <span class="mark"> → </span>
          {after === undefined ? <span class="mark">none</span> : <Text line={preview(after, 24)} />}
        </span>
      ))}
      {places.length > 3 ? <span class="mark">…</span> : null}
    </>
  )
}

/** Where the log has a record, and what else it says. */
const Record = ({ record }: { readonly record: NonNullable<Version["record"]> }) => (
  <p class="record">
    <span>
      partition {record.partition} · offset {count(record.offset)}
    </span>
    {record.headers.map((header, i) => (
      <span key={i} class="header">
        {header}
      </span>
    ))}
    {record.error === undefined ? null : <span class="trouble">{record.error}</span>}
  </p>
)

/** Where the history begins, and what of it is missing. */
const Beginning = () => {
  const state = past.value
  switch (state?._tag) {
    case undefined:
      return <p class="hint">Changes of this entry are kept here as they happen.</p>
    case "Reading":
      return (
        <p class="hint reading" role="status">
          <span class="dot busy" aria-hidden="true" /> Reading the log…
        </p>
      )
    case "Failed":
      return (
        <p class="hint">
          The log could not be read: {state.reason}.{" "}
          <button class="small" onClick={readPastAgain}>
            Try again
          </button>
        </p>
      )
    case "Read": {
      const { older, partitions, versions } = state.history
      const from = Math.max(...partitions.map(({ completeFrom }) => completeFrom))
      if (older > 0) {
        return (
          <p class="hint">
            {plural(older, "older record is", "older records are")} in the log.{" "}
            {versions.length < 1000 ? (
              <button class="small" onClick={readMorePast}>
                Show more
              </button>
            ) : null}
          </p>
        )
      }
      if (versions.length === 0) return <p class="hint">The log has no record of this key where it belongs.</p>
      return from === 0 ? (
        <p class="hint">That is all that was ever written of it.</p>
      ) : (
        <p class="hint">Complete from offset {count(from)} on. Compaction may have removed what was before.</p>
      )
    }
  }
}

interface ItemProps {
  readonly version: Version
  readonly before: Version | undefined
  readonly isOpen: boolean
  /** Its value stands above already. */
  readonly isNewest: boolean
}

const Item = ({ before, isNewest, isOpen, version }: ItemProps) => (
  <li class={version.kind}>
    <button
      class="version"
      aria-expanded={version.kind === "opened" ? undefined : isOpen}
      disabled={version.kind === "opened"}
      onClick={() => (chosen.value = version.id)}
    >
      <span class="when">
        {verbs[version.kind]} <time>{moment(version.at, today.value)}</time>
      </span>
      {isOpen ? null : (
        <span class="summary">
          <Summary before={before?.value} after={version.value} />
        </span>
      )}
    </button>
    {isOpen ? (
      <>
        {version.record === undefined ? null : <Record record={version.record} />}
        {before === undefined && isNewest ? null : <Difference before={before?.value} after={version.value} />}
      </>
    ) : null}
  </li>
)

/** Newest first. */
const History = ({ versions }: { readonly versions: ReadonlyArray<Version> }) => {
  const shown = versions.toReversed()
  const opened = shown.find(({ id }) => id === chosen.value) ?? shown[0]
  return (
    <>
      <ol class="history">
        {shown.map((version, i) => (
          <Item
            key={version.id}
            version={version}
            before={shown[i + 1]}
            isOpen={version === opened && version.kind !== "opened"}
            isNewest={i === 0}
          />
        ))}
      </ol>
      <Beginning />
    </>
  )
}

const copy = async (value: unknown) => {
  await navigator.clipboard.writeText(JSON.stringify(value, undefined, 2))
  copied.value = value
}

const Chosen = ({ entryKey }: { readonly entryKey: string }) => {
  const entries = replica.value
  void entries.pace.value
  const row = entries.get(entryKey)
  const seen = entries.history(entryKey)
  const read = past.value?._tag === "Read" ? past.value.history : undefined
  const versions = useMemo(
    () => (read === undefined ? [...seen] : versionsOf(read, seen)),
    [read, entryKey, entries, seen.length, seen.at(-1)]
  )
  const last = versions.findLast(({ value }) => value !== undefined)?.value
  const changes = versions.filter(({ kind }) => kind !== "opened").length
  return (
    <>
      <header class="detail-head">
        <div>
          <p class="caption">Entry</p>
          <h2 class="entry-key" id="detail-title" tabIndex={-1}>
            {entryKey === "" ? <em>empty key</em> : entryKey}
          </h2>
        </div>
        <button class="quiet close" aria-label="Close the entry" title="Close (Esc)" onClick={() => select(undefined)}>
          ×
        </button>
      </header>
      <div class="detail-body">
        <section aria-labelledby="value-title">
          <div class="section-head">
            <h3 id="value-title" class="caption">
              Value
            </h3>
            {row === undefined ? (
              <span class="tag deleted">{last === undefined ? "no such entry" : "deleted"}</span>
            ) : row.change === undefined ? null : (
              <span class="hint">
                changed{" "}
                {ago(now.value - row.change.at) === "now" ? "just now" : `${ago(now.value - row.change.at)} ago`}
              </span>
            )}
            {row === undefined ? null : (
              <button class="small" onClick={() => void copy(row.value)}>
                {copied.value === row.value ? "Copied" : "Copy"}
              </button>
            )}
          </div>
          {row !== undefined ? (
            <Code value={row.value} />
          ) : last !== undefined ? (
            <Code value={last} />
          ) : (
            <p class="hint">The table holds no value for this key. If one is written, it appears here.</p>
          )}
        </section>
        <section aria-labelledby="history-title">
          <div class="section-head">
            <h3 id="history-title" class="caption">
              History{changes === 0 ? null : <span class="number">{count(changes)}</span>}
            </h3>
          </div>
          <History versions={versions} />
        </section>
      </div>
    </>
  )
}

/** What happened last in the table, while no entry is chosen. */
const Latest = () => {
  const entries = replica.value
  void entries.pace.value
  return (
    <>
      <header class="detail-head">
        <div>
          <p class="caption">Latest changes</p>
          <h2>As they arrive</h2>
        </div>
      </header>
      <div class="detail-body">
        {entries.latest.length === 0 ? (
          <p class="hint">Nothing has changed since this page was opened. Choose an entry to see its value.</p>
        ) : (
          <ol class="history latest">
            {entries.latest.map((event) => (
              <li key={event.id} class={event.kind}>
                <button class="version" onClick={() => open(event.key)}>
                  <span class="when">
                    <b>{event.key}</b> <time>{ago(now.value - event.at)}</time>
                  </span>
                  <span class="summary">
                    {event.kind === "deleted" ? (
                      <span class="mark">deleted</span>
                    ) : (
                      <Summary before={event.before} after={event.after} />
                    )}
                  </span>
                </button>
              </li>
            ))}
          </ol>
        )}
      </div>
    </>
  )
}

export const focusDetail = (): void => document.getElementById("detail-title")?.focus()

export const Detail = () => {
  // Where it covers the rest, the focus goes into it, and back to the list when it closes.
  useEffect(() => {
    if (!isCovered.value) return
    focusDetail()
    return () => document.getElementById("entries")?.focus()
  }, [isCovered.value])
  return (
    <div
      class={isDetailOpen.value ? "detail open" : "detail"}
      role={isCovered.value ? "dialog" : "complementary"}
      aria-modal={isCovered.value ? "true" : undefined}
      aria-label="Detail"
    >
      {selectedKey.value === undefined ? <Latest /> : <Chosen entryKey={selectedKey.value} />}
    </div>
  )
}
