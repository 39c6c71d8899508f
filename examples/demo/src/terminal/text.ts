/** Text as a terminal shows it: harmless, and as wide as it says. */

/** Control characters, invisible ones and those that turn the direction of a line. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/** Escapes what could move the cursor or disguise the text: keys and values come from anybody who may write the topic. */
export const clean = (text: string): string =>
  text.replaceAll(unprintable, (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`)

const combining = /^\p{M}$/u
const wide = /^[\p{Emoji_Presentation}\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Hangul}\u{ff01}-\u{ff60}]$/u

const widthOf = (character: string): number => {
  if (character < "\u0300") return 1
  if (combining.test(character)) return 0
  return wide.test(character) ? 2 : 1
}

/** Columns that a text takes. */
export const width = (text: string): number => {
  let columns = 0
  for (const character of text) columns += widthOf(character)
  return columns
}

/** The text in at most so many columns, with an ellipsis where it was longer. */
export const cut = (text: string, columns: number): string => {
  // Enough for any width, and keeps long values cheap.
  const start = text.length > 4 * columns + 4 ? text.slice(0, 4 * columns + 4) : text
  if (start === text && width(text) <= columns) return text
  if (columns <= 0) return ""
  let kept = ""
  let used = 0
  for (const character of start) {
    const next = widthOf(character)
    if (used + next > columns - 1) break
    kept += character
    used += next
  }
  return `${kept}…`
}

/** The text in exactly so many columns. */
export const fit = (text: string, columns: number, align: "left" | "right" = "left"): string => {
  const short = cut(text, columns)
  const padding = " ".repeat(Math.max(0, columns - width(short)))
  return align === "left" ? short + padding : padding + short
}

/** The text in lines of at most so many columns, broken between words. */
export const wrapWords = (text: string, columns: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last !== undefined && width(last) + 1 + width(word) <= columns) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

/** A whole number with its thousands apart. */
export const count = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: 0 })

/** A time span in the unit that reads best. */
export const span = (millis: number): string =>
  millis < 10
    ? `${millis.toFixed(1)} ms`
    : millis < 1000
      ? `${millis.toFixed(0)} ms`
      : `${(millis / 1000).toFixed(1)} s`
