/** The entries of a table: a filter, and a list that makes only the rows that can be seen. */
import { effect, signal } from "@preact/signals"
import { useEffect, useRef } from "preact/hooks"
import { preview } from "../json.ts"
import { filter, loading, now, open, replica, selectedKey, table } from "../model.ts"
import { type Filter, type Row } from "../replica.ts"
import { ago, count, plural } from "../words.ts"
import { Text } from "./Text.tsx"

export const ROW = 34
/** Browsers draw nothing further down than about this; above it the scrollbar stands for more than a pixel a pixel. */
const TALLEST = 12_000_000
const SPARE = 6
/** How long a change stays marked, as the animation in the style sheet. */
const FLASH = 1600

const scrollTop = signal(0)
const viewHeight = signal(600)
let viewport: HTMLElement | null = null

const heights = (rows: number) => {
  const whole = rows * ROW
  const tall = Math.min(whole, TALLEST)
  const room = Math.max(1, tall - viewHeight.value)
  return { whole, tall, scale: Math.max(0, whole - viewHeight.value) / room }
}

export const pageOfRows = (): number => Math.max(1, Math.floor(viewHeight.value / ROW) - 1)

/** Scrolls no further than it takes to see a row. */
export const reveal = (index: number): void => {
  if (viewport === null) return
  const { scale } = heights(replica.value.shown.length)
  const at = scrollTop.value * Math.max(scale, 1)
  const [from, to] = [index * ROW, (index + 1) * ROW]
  const wanted = from < at ? from : to > at + viewHeight.value ? to - viewHeight.value : undefined
  if (wanted !== undefined) viewport.scrollTop = wanted / Math.max(scale, 1)
}

export const toTop = (): void => {
  if (viewport !== null) viewport.scrollTop = 0
}

const classOf = (row: Row, at: number): string => {
  if (row.change?.kind === "deleted") return "row deleted"
  if (row.change === undefined || at - row.change.at > FLASH) return "row"
  // Two names for one animation: it begins again with every change.
  return `row ${row.change.kind} ${row.changes % 2 === 0 ? "even" : "odd"}`
}

interface EntryProps {
  readonly row: Row
  readonly changes: number
  readonly index: number
  readonly of: number
  readonly top: number
}

/** `changes` makes it be drawn again: the row is the same object before a change and after it. */
const Entry = ({ index, of, row, top }: EntryProps) => {
  const isSelected = row.key === selectedKey.value && row.change?.kind !== "deleted"
  return (
    <div
      id={`row-${row.id}`}
      class={classOf(row, Date.now())}
      style={{ transform: `translateY(${top}px)` }}
      role="option"
      aria-selected={isSelected}
      aria-setsize={of}
      aria-posinset={index + 1}
      onClick={() => open(row.key)}
    >
      <span class="cell key" title={row.key}>
        {row.key === "" ? <em>empty key</em> : row.key}
      </span>
      <span class="cell value">
        <Text line={preview(row.value, 140)} />
      </span>
      <span class="cell age">{row.change === undefined ? "" : ago(now.value - row.change.at)}</span>
    </div>
  )
}

const Rows = () => {
  const element = useRef<HTMLDivElement>(null)
  const entries = replica.value
  void entries.version.value
  const rows = entries.shown
  useEffect(() => {
    viewport = element.current
    const observer = new ResizeObserver(() => (viewHeight.value = element.current?.clientHeight ?? 0))
    observer.observe(element.current!)
    const stop = effect(() => {
      void filter.value
      void replica.value
      toTop()
    })
    return () => {
      stop()
      observer.disconnect()
      viewport = null
    }
  }, [])
  const { scale, tall } = heights(rows.length)
  const at = scrollTop.value * Math.max(scale, 1)
  const from = Math.max(0, Math.floor(at / ROW) - SPARE)
  const to = Math.min(rows.length, Math.ceil((at + viewHeight.value) / ROW) + SPARE)
  const shift = scrollTop.value - at
  const slots = Math.ceil(viewHeight.value / ROW) + 2 * SPARE + 1
  const chosen = selectedKey.value === undefined ? -1 : entries.indexOf(selectedKey.value)
  return (
    <div
      ref={element}
      id="entries"
      class="rows"
      tabIndex={0}
      role="listbox"
      aria-label="Entries"
      aria-activedescendant={chosen >= from && chosen < to ? `row-${rows[chosen]!.id}` : undefined}
      onScroll={(event) => (scrollTop.value = event.currentTarget.scrollTop)}
    >
      <div class="canvas" style={{ height: `${tall}px` }} role="presentation">
        {rows.slice(from, to).map((row, i) => (
          <Entry
            // Elements are used again for the rows that come into sight.
            key={(from + i) % slots}
            row={row}
            changes={row.changes}
            index={from + i}
            of={rows.length}
            top={(from + i) * ROW + shift}
          />
        ))}
      </div>
      {rows.length === 0 ? <Nothing /> : null}
    </div>
  )
}

const Nothing = () => {
  const { text, by } = filter.value
  if (replica.value.size > 0 && text !== "") {
    return (
      <div class="nothing">
        <h2>Nothing matches</h2>
        <p>
          None of {plural(replica.value.size, "entry", "entries")}{" "}
          {by === "prefix" ? "has a key that begins with" : "contains"} <code>{text}</code>.
        </p>
        <button onClick={() => (filter.value = { by, text: "" })}>Clear the filter</button>
      </div>
    )
  }
  if (loading.value !== undefined) {
    return (
      <div class="skeleton" aria-hidden="true">
        {Array.from({ length: 8 }, (_, i) => (
          <span key={i} />
        ))}
      </div>
    )
  }
  return (
    <div class="nothing">
      <h2>No entries yet</h2>
      <p>
        {table.value?.status._tag === "CaughtUp"
          ? "The topic holds no value for any key. An entry appears here as soon as somebody writes it."
          : "Entries appear here while the table catches up with its topic."}
      </p>
    </div>
  )
}

const Way = ({ by, label }: { readonly by: Filter["by"]; readonly label: string }) => (
  <label>
    <input
      type="radio"
      name="by"
      checked={filter.value.by === by}
      onChange={() => (filter.value = { ...filter.value, by })}
    />
    <span>{label}</span>
  </label>
)

const Shown = () => {
  const entries = replica.value
  void entries.pace.value
  return (
    <output class="shown" aria-live="polite" for="filter">
      {filter.value.text === "" ? "" : `${count(entries.shown.length)} of ${count(entries.size)}`}
    </output>
  )
}

export const Entries = () => (
  <section class="entries" aria-label="Entries of the table">
    <div class="tools">
      <div class="field">
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <circle cx="7" cy="7" r="4.5" />
          <path d="M10.4 10.4 14 14" />
        </svg>
        <input
          id="filter"
          type="text"
          inputMode="search"
          autocomplete="off"
          spellcheck={false}
          aria-label={
            filter.value.by === "prefix" ? "Filter by the beginning of the key" : "Filter by text in key or value"
          }
          placeholder={filter.value.by === "prefix" ? "Key begins with…" : "Key or value contains…"}
          value={filter.value.text}
          onInput={(event) => (filter.value = { ...filter.value, text: event.currentTarget.value })}
        />
        <Shown />
        {filter.value.text === "" ? (
          <kbd aria-hidden="true">/</kbd>
        ) : (
          <button
            class="quiet"
            aria-label="Clear the filter"
            onClick={() => (filter.value = { ...filter.value, text: "" })}
          >
            ×
          </button>
        )}
      </div>
      <fieldset class="ways">
        <legend>Filter by</legend>
        <Way by="prefix" label="Prefix" />
        <Way by="text" label="Text" />
      </fieldset>
    </div>
    <div class="columns" aria-hidden="true">
      <span>Key</span>
      <span>Value</span>
      <span class="age">Changed</span>
    </div>
    <Rows />
  </section>
)
