/** The table that is shown: where it stands and how much happens in it. */
import { connection, loading, now, replica, table, tableName } from "../model.ts"
import { count, rate } from "../words.ts"
import { Chart } from "./Chart.tsx"
import { labelOf, moodOf, progressOf } from "./status.ts"

const Fact = ({ label, value, unit }: { readonly label: string; readonly value: string; readonly unit?: string }) => (
  <div class="fact">
    <dt>{label}</dt>
    <dd>
      {value}
      {unit === undefined ? null : <small>{unit}</small>}
    </dd>
  </div>
)

const Progress = ({
  label,
  share,
  text
}: {
  readonly label: string
  readonly share: number
  readonly text: string
}) => (
  <div
    class="progress"
    role="progressbar"
    aria-label={label}
    aria-valuemin={0}
    aria-valuemax={100}
    aria-valuenow={Math.floor(share * 100)}
    aria-valuetext={text}
  >
    <span class="track">
      <span class="fill" style={{ transform: `scaleX(${share})` }} />
    </span>
    <span>{text}</span>
  </div>
)

/** How far the server has come with the log, else how far this page has come with the server's entries. */
const CatchUp = () => {
  const status = table.value?.status
  const share = status === undefined ? undefined : progressOf(status)
  if (status !== undefined && share !== undefined) {
    const text = `${labelOf(status)}: ${count(status.replayed ?? 0)} of ${count(status.target ?? 0)} records read`
    return <Progress label="Catching up with the log" share={share} text={text} />
  }
  if (loading.value === undefined || loading.value.size === 0) return null
  const { received: arrived, size } = loading.value
  return (
    <Progress
      label="Loading entries"
      share={Math.min(1, arrived / size)}
      text={`Loading ${count(Math.min(arrived, size))} of ${count(size)} entries`}
    />
  )
}

export const Head = () => {
  const entries = replica.value
  // Both are read so that the facts follow.
  void entries.pace.value
  void now.value
  const shown = table.value
  return (
    <header class="head">
      <div class="title">
        <h1>{tableName.value}</h1>
        {shown === undefined ? null : connection.value._tag === "Lost" ? (
          <span class="pill idle">
            <span class="dot" aria-hidden="true" />
            Not live
          </span>
        ) : (
          <span class={`pill ${moodOf(shown.status)}`}>
            <span class="dot" aria-hidden="true" />
            {labelOf(shown.status)}
          </span>
        )}
      </div>
      <dl class="numbers">
        <Fact label="Entries" value={count(entries.size)} />
        <Fact label="Changes" value={rate(entries.rate())} unit="/s" />
        <Fact label="Lag" value={shown === undefined || shown.lag === null ? "–" : count(shown.lag)} />
      </dl>
      <Chart rates={entries.rates()} />
      {shown?.status.reason === undefined ? null : <p class="trouble">{shown.status.reason}</p>}
      <CatchUp />
    </header>
  )
}
