/** What a full-screen command has drawn on a terminal, as a picture that is text. */

const COLUMN = 7.83
const LINE = 19
const PAD = 18
const BAR = 38

const themes = {
  light: {
    back: "#ffffff",
    bar: "#f2f2ef",
    edge: "#e0dfd9",
    ink: "#1b1c1f",
    soft: "#74767e",
    red: "#be1e2d",
    green: "#15803d"
  },
  dark: {
    back: "#18191d",
    bar: "#212329",
    edge: "#2f323a",
    ink: "#eceded",
    soft: "#8f939d",
    red: "#fb7185",
    green: "#4ade80"
  }
} as const

type Theme = (typeof themes)[keyof typeof themes]

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(" ", "\u00a0")

/** The lines of the last screen: what came after the cursor went home for the last time. */
const linesOf = (output: string): ReadonlyArray<string> => {
  const whole = output.split("\u001b[?1049l")[0]!
  return whole
    .slice(whole.lastIndexOf("\u001b[H") + 3)
    .replaceAll("\u001b[K", "")
    .replaceAll("\u001b[J", "")
    .split("\r\n")
    .map((line) => line.trimEnd())
}

/** One line with its styles: SGR 1, 31, 32 and 0 are what the command uses. */
const textOf = (line: string, at: number, theme: Theme, isFaint: boolean): string => {
  const styles: Readonly<Record<string, string>> = {
    0: `fill="${theme.ink}"`,
    1: `fill="${theme.ink}" font-weight="700"`,
    31: `fill="${theme.red}"`,
    32: `fill="${theme.green}"`
  }
  let x = PAD
  // Each part but the first begins with the rest of its sequence.
  return `${isFaint ? "" : "0m"}${line}`
    .split("\u001b[")
    .map((part) => {
      const [, code, styled] = /^(\d+)m(.*)$/.exec(part) ?? []
      const text = styled ?? part
      if (text === "") return ""
      const width = text.length * COLUMN
      const place = `x="${x.toFixed(1)}" y="${at}" textLength="${width.toFixed(1)}" lengthAdjust="spacingAndGlyphs"`
      x += width
      return `<text ${place} ${styles[code ?? ""] ?? `fill="${theme.soft}"`}>${escaped(text)}</text>`
    })
    .join("")
}

/** A picture for each theme. */
export const pictureOf = (output: string, command: string): ReadonlyArray<readonly [name: string, svg: string]> => {
  const lines = linesOf(output)
  const width = Math.ceil(100 * COLUMN + 2 * PAD)
  const height = BAR + lines.length * LINE + 2 * PAD - 6
  return Object.entries(themes).map(([name, theme]) => {
    const body = lines.map((line, i) => textOf(line, BAR + PAD + 10 + i * LINE, theme, i === 1 || i === 2))
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="13">
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="10" fill="${theme.back}" stroke="${theme.edge}"/>
<path d="M.5 ${BAR}V10.5A10 10 0 0 1 10.5 .5H${width - 10.5}A10 10 0 0 1 ${width - 0.5} 10.5V${BAR}Z" fill="${theme.bar}" stroke="${theme.edge}"/>
${[0, 1, 2].map((i) => `<circle cx="${22 + i * 18}" cy="19.5" r="5" fill="${theme.edge}"/>`).join("")}
<text x="${width / 2}" y="24" text-anchor="middle" fill="${theme.soft}">$ ${escaped(command)}</text>
${body.filter((text) => text !== "").join("\n")}
</svg>
`
    return [name, svg] as const
  })
}
