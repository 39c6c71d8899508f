/** The lines of one text that became those of another. */
import { type Line, textOf } from "./json.ts"

export interface DiffLine {
  readonly change: "same" | "added" | "removed"
  readonly line: Line
}

/** Lines in between that did not change, and are left out. */
export interface Gap {
  readonly change: "gap"
  readonly count: number
}

/** Above this many pairs of lines, what lies between the equal ends counts as replaced. */
const MAX_PAIRS = 1_000_000

/** The lengths of the longest common subsequences of all ends of two texts. */
const common = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): ((i: number, j: number) => number) => {
  const width = b.length + 1
  const table = new Uint32Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i * width + j] =
        a[i] === b[j]
          ? table[(i + 1) * width + j + 1]! + 1
          : Math.max(table[(i + 1) * width + j]!, table[i * width + j + 1]!)
    }
  }
  return (i, j) => table[i * width + j]!
}

/** All lines of both texts, in the order of a unified difference. */
export const diff = (before: ReadonlyArray<Line>, after: ReadonlyArray<Line>): ReadonlyArray<DiffLine> => {
  const [a, b] = [before.map(textOf), after.map(textOf)]
  let start = 0
  while (start < a.length && start < b.length && a[start] === b[start]) start++
  let end = 0
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++
  const out: Array<DiffLine> = before.slice(0, start).map((line) => ({ change: "same", line }))
  const [as, bs] = [a.slice(start, a.length - end), b.slice(start, b.length - end)]
  const left = as.length * bs.length > MAX_PAIRS ? () => 0 : common(as, bs)
  const isComparable = as.length * bs.length <= MAX_PAIRS
  let [i, j] = [0, 0]
  while (i < as.length || j < bs.length) {
    if (isComparable && i < as.length && j < bs.length && as[i] === bs[j]) {
      out.push({ change: "same", line: after[start + j]! })
      i++
      j++
    } else if (i < as.length && (j === bs.length || left(i + 1, j) >= left(i, j + 1))) {
      out.push({ change: "removed", line: before[start + i++]! })
    } else out.push({ change: "added", line: after[start + j++]! })
  }
  for (const line of after.slice(b.length - end)) out.push({ change: "same", line })
  return out
}

/** The difference with at most `context` equal lines around each change. */
export const folded = (lines: ReadonlyArray<DiffLine>, context: number): ReadonlyArray<DiffLine | Gap> => {
  const isNear = (i: number) => {
    for (let j = Math.max(0, i - context); j <= Math.min(lines.length - 1, i + context); j++) {
      if (lines[j]!.change !== "same") return true
    }
    return false
  }
  const out: Array<DiffLine | Gap> = []
  let skipped: Array<DiffLine> = []
  const close = () => {
    // A line is no longer than the words that would stand for it.
    if (skipped.length === 1) out.push(...skipped)
    if (skipped.length > 1) out.push({ change: "gap", count: skipped.length })
    skipped = []
  }
  for (const [i, line] of lines.entries()) {
    if (isNear(i)) {
      close()
      out.push(line)
    } else skipped.push(line)
  }
  close()
  return out
}
