/** Changes a second, as bars: the last minute of a table, or a line in the list of tables. */
import { count } from "../words.ts"

const WIDTH = 300
const HEIGHT = 56

/** A round number that is not below `value`, for the top of the scale. */
const top = (value: number): number => {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)))
  return [1, 2, 5, 10].map((step) => step * power).find((candidate) => candidate >= value) ?? value
}

export const Chart = ({ rates }: { readonly rates: ReadonlyArray<number> }) => {
  // The second that runs is no whole bar yet.
  const bars = rates.slice(0, -1)
  const scale = top(Math.max(4, ...bars))
  const step = WIDTH / bars.length
  const last = bars.at(-1) ?? 0
  return (
    <figure class="chart">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Changes per second over the last minute, ${count(last)} in the last second, at most ${count(Math.max(0, ...bars))}`}
      >
        <line class="grid" x1="0" x2={WIDTH} y1="0.5" y2="0.5" />
        <line class="grid" x1="0" x2={WIDTH} y1={HEIGHT / 2} y2={HEIGHT / 2} />
        <line class="base" x1="0" x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
        {bars.map((value, i) => {
          const height = value === 0 ? 0 : Math.max(2, (value / scale) * (HEIGHT - 2))
          return (
            <rect
              key={i}
              class={i === bars.length - 1 ? "bar latest" : "bar"}
              x={i * step + 0.6}
              width={step - 1.4}
              y={HEIGHT - height}
              height={height}
            />
          )
        })}
      </svg>
      <figcaption aria-hidden="true">
        <span>{count(scale)}/s</span>
        <span>{rates.every((value) => value === 0) ? "no change in the last minute" : "last minute"}</span>
      </figcaption>
    </figure>
  )
}

const SPARK = 30

/** A line over the last seconds; what is not known yet counts as nothing. */
export const Spark = ({ points }: { readonly points: ReadonlyArray<number> }) => {
  const all = [...Array.from({ length: Math.max(0, SPARK - points.length) }, () => 0), ...points.slice(-SPARK)]
  const scale = Math.max(4, ...all)
  const line = all.map((value, i) => `${i * 2},${(14 - (value / scale) * 12).toFixed(1)}`).join(" ")
  return (
    <svg class="spark" viewBox="0 0 58 16" aria-hidden="true">
      <polygon points={`0,15 ${line} 58,15`} />
      <polyline points={line} />
    </svg>
  )
}
