/** What a terminal shows of what was written to it: the part of it that a view needs, with the cursor that waits in the last column. */
export const shownBy = (width: number, height: number, ...writes: ReadonlyArray<string>): ReadonlyArray<string> => {
  const cells = Array.from({ length: height }, () => Array.from({ length: width }, () => " "))
  let [row, column] = [0, 0]
  const clear = (from: number, line: number): void => {
    cells[line]!.fill(" ", from)
  }
  // oxlint-disable-next-line no-control-regex
  for (const [token] of writes.join("").matchAll(/\u001b\[[0-9;?]*[A-Za-z]|[^]/gu)) {
    if (token === "\u001b[H") [row, column] = [0, 0]
    // In the last column it stays after that was written: to clear from the cursor clears the column.
    else if (token === "\u001b[K") clear(Math.min(column, width - 1), row)
    else if (token === "\u001b[J") {
      clear(Math.min(column, width - 1), row)
      for (let below = row + 1; below < height; below++) clear(0, below)
    } else if (token === "\r") column = 0
    else if (token === "\n") {
      if (row < height - 1) row++
      else cells.push(...cells.splice(0, 1).map((line) => line.fill(" ")))
    } else if (!token.startsWith("\u001b")) {
      if (column === width) throw new Error("a line is wider than the terminal")
      cells[row]![column++] = token
    }
  }
  return cells.map((line) => line.join("").trimEnd())
}
