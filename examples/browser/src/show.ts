/** The three programs show a table in the same way: a line for each article, and one line about the connection. */

const list = document.querySelector("ul")!
const status = document.querySelector("output")!

export interface Line {
  readonly text: string
  readonly onClick?: () => void
}

export const showLines = (lines: ReadonlyArray<Line>): void =>
  list.replaceChildren(
    ...lines.map(({ onClick, text }) => {
      const item = document.createElement("li")
      item.append(text)
      if (onClick === undefined) return item
      const button = document.createElement("button")
      button.textContent = "sell"
      button.addEventListener("click", onClick)
      item.append(" ", button)
      return item
    })
  )

export const showStatus = (text: string): void => {
  status.textContent = text
}
