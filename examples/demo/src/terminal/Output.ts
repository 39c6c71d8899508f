/** Where the show goes: a screen that is redrawn in place, or lines where there is none. */
import type { WriteStream } from "node:tty"
import { styleText } from "node:util"
import { type Paint, type Picture, render } from "./Picture.ts"
import { wrapWords } from "./text.ts"

export interface Output {
  readonly isScreen: boolean
  /** Draws on a screen; does nothing without one. */
  readonly show: (picture: Picture) => void
  /** Writes a line where there is no screen; does nothing on one. */
  readonly line: (text: string) => void
  /**
   * Gives the terminal back: with the last picture left standing and these words under it, or as it was before. Only the
   * first call counts.
   */
  readonly close: (lastWords?: string) => void
  /**
   * Waits until all that was written has been taken. A pipe holds only so much: what its reader has not taken yet would be
   * lost with the process.
   */
  readonly flushed: () => Promise<void>
}

const enter = "\u001b[?1049h\u001b[?25l"
const leave = "\u001b[?25h\u001b[?1049l"
const home = "\u001b[H"
const eraseLine = "\u001b[K"
const eraseBelow = "\u001b[J"

const flushed = (stream: NodeJS.WriteStream) => () =>
  new Promise<void>((resolve) => {
    stream.write("", () => resolve())
  })

const sizeOf = (stream: WriteStream) => ({ columns: stream.columns || 80, rows: stream.rows || 24 })

const screen = (stream: WriteStream): Output => {
  const paint: Paint = (style, text) => styleText(style, text, { stream })
  let last: Picture | undefined
  let closed = false
  const close = (lastWords?: string) => {
    if (closed) return
    closed = true
    stream.write(leave)
    if (lastWords === undefined) return
    const { columns, rows } = sizeOf(stream)
    const words = wrapWords(lastWords, columns)
    // The lines below are the shell's.
    const picture = last === undefined ? [] : render(last, { columns, rows: rows - words.length - 2 }, paint)
    stream.write([...picture, ...words].map((line) => `${line}\n`).join(""))
  }
  stream.write(enter)
  // Also when the process ends in a way that runs no finalizer.
  process.once("exit", () => close())
  return {
    isScreen: true,
    show: (picture) => {
      if (closed) return
      last = picture
      const lines = render(picture, sizeOf(stream), paint)
      stream.write(home + lines.map((line) => line + eraseLine).join("\n") + eraseBelow)
    },
    line: () => {},
    close,
    flushed: flushed(stream)
  }
}

const lines = (stream: NodeJS.WriteStream): Output => ({
  isScreen: false,
  show: () => {},
  line: (text) => {
    stream.write(`${text}\n`)
  },
  close: (lastWords) => {
    if (lastWords !== undefined) stream.write(`${lastWords}\n`)
  },
  flushed: flushed(stream)
})

export const open = (stream: NodeJS.WriteStream): Output => {
  // The reader of a pipe may leave first (`| head`): then nobody is left to show anything to.
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit()
    throw error
  })
  return stream.isTTY && process.env["TERM"] !== "dumb" ? screen(stream as WriteStream) : lines(stream)
}
