/** One entry: its value, what became of it while the page looked, and what differs between two of its values. */
import { signal } from "@preact/signals"
import { diff, folded } from "../diff.ts"
import { differences, lines, preview, type Line } from "../json.ts"
import { isDetailOpen, now, open, replica, select, selectedKey } from "../model.ts"
import type { Version } from "../replica.ts"
import { ago, count, plural, time } from "../words.ts"
import { Text } from "./Text.tsx"

const LONGEST = 3000

const isWhole = signal(false)
/** The version of the history that is compared with the one before it, counted from the oldest; the newest where none is chosen. */
const chosen = signal<number | undefined>(undefined)
const copied = signal<unknown>(undefined)

selectedKey.subscribe(() => {
  isWhole.value = false
  chosen.value = undefined
})

const verbs = { opened: "There when the page opened", added: "Added", changed: "Changed", deleted: "Deleted" }

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

const History = ({ versions }: { readonly versions: ReadonlyArray<Version> }) => {
  if (versions.length === 0) {
    return <p class="hint">No change since this page was opened. Changes of this entry are kept here as they happen.</p>
  }
  const index = chosen.value === undefined ? 0 : Math.max(0, versions.length - 1 - chosen.value)
  return (
    <ol class="history">
      {versions.map((version, i) => {
        const before = versions[i + 1]
        const isOpen = i === index && version.kind !== "opened"
        return (
          <li key={versions.length - i} class={version.kind}>
            <button
              class="version"
              aria-expanded={version.kind === "opened" ? undefined : isOpen}
              disabled={version.kind === "opened"}
              onClick={() => (chosen.value = versions.length - 1 - i)}
            >
              <span class="when">
                {verbs[version.kind]} <time>{time(version.at)}</time>
              </span>
              {isOpen ? null : (
                <span class="summary">
                  <Summary before={before?.value} after={version.value} />
                </span>
              )}
            </button>
            {isOpen ? <Difference before={before?.value} after={version.value} /> : null}
          </li>
        )
      })}
    </ol>
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
  const versions = entries.history(entryKey)
  const last = versions.find(({ value }) => value !== undefined)?.value
  const changes = versions.filter(({ kind }) => kind !== "opened").length
  return (
    <>
      <header class="detail-head">
        <div>
          <p class="caption">Entry</p>
          <h2 class="entry-key">{entryKey}</h2>
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

export const Detail = () => (
  <aside class={isDetailOpen.value ? "detail open" : "detail"} aria-label="Detail">
    {selectedKey.value === undefined ? <Latest /> : <Chosen entryKey={selectedKey.value} />}
  </aside>
)
