/** Keys that work wherever the focus is, but for those that a field needs itself. */
import {
  filter,
  isCovered,
  isDetailOpen,
  isHelpOpen,
  open,
  replica,
  select,
  selectedKey,
  selectTable,
  tableName,
  tables
} from "./model.ts"
import { focusDetail } from "./view/Detail.tsx"
import { pageOfRows, reveal } from "./view/Entries.tsx"

const move = (by: (index: number, length: number) => number): void => {
  const { shown } = replica.value
  if (shown.length === 0) return
  const from = selectedKey.value === undefined ? -1 : replica.value.indexOf(selectedKey.value)
  const to = Math.min(shown.length - 1, Math.max(0, by(from, shown.length)))
  select(shown[to]!.key)
  reveal(to)
}

const moves: Readonly<Record<string, (index: number, length: number) => number>> = {
  ArrowDown: (index) => index + 1,
  ArrowUp: (index) => index - 1,
  PageDown: (index) => index + pageOfRows(),
  PageUp: (index) => index - pageOfRows(),
  Home: () => 0,
  End: (_, length) => length - 1
}

const turnTable = (by: number): void => {
  const names = (tables.value ?? []).map(({ name }) => name)
  const next = names[names.indexOf(tableName.value ?? "") + by]
  if (next !== undefined) selectTable(next)
}

const field = (): HTMLInputElement | null => document.querySelector("#filter")
const list = (): HTMLElement | null => document.querySelector("#entries")

const escape = (): void => {
  if (document.activeElement === field() && filter.value.text === "") list()?.focus()
  else if (isCovered.value) isDetailOpen.value = false
  else if (filter.value.text !== "") filter.value = { ...filter.value, text: "" }
  else select(undefined)
}

export const listen = (): void =>
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isHelpOpen.value) return
    const target = event.target as HTMLElement
    const isTyping = target === field()
    // Buttons, and code that is scrolled, keep their own keys.
    const isElsewhere = !isTyping && target.closest("button, input, a, pre, dialog") !== null
    const moved = moves[event.key]
    const isOwnKey = isTyping && (event.key === "Home" || event.key === "End")
    if (moved !== undefined && !isOwnKey && !(isElsewhere && target.matches("pre, input"))) move(moved)
    else if (event.key === "Escape") escape()
    else if (event.key === "Enter" && !isElsewhere && selectedKey.value !== undefined) {
      open(selectedKey.value)
      focusDetail()
    } else if (isTyping) return
    else if (event.key === "/") {
      field()?.focus()
      field()?.select()
    } else if (event.key === "?") isHelpOpen.value = true
    else if (event.key === "[") turnTable(-1)
    else if (event.key === "]") turnTable(1)
    else return
    event.preventDefault()
  })
