/** The tables that are served, and whether the server is there. */
import { activity, connection, isCovered, isHelpOpen, selectTable, tableName, tables } from "../model.ts"
import { count, plural } from "../words.ts"
import { Spark } from "./Chart.tsx"
import { labelOf, moodOf, progressOf } from "./status.ts"

const said = { Connecting: "Connecting", Live: "Connected", Lost: "Disconnected" }

const Mark = () => (
  <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
    <rect x="2" y="3" width="20" height="4.6" rx="1.6" />
    <rect class="middle" x="2" y="9.7" width="13" height="4.6" rx="1.6" />
    <circle cx="19.4" cy="12" r="2.4" />
    <rect x="2" y="16.4" width="20" height="4.6" rx="1.6" />
  </svg>
)

export const Sidebar = () => (
  <nav class="sidebar" aria-label="Tables" inert={isCovered.value}>
    <header class="brand">
      <Mark />
      <span>ktables</span>
      <button
        class="quiet help-button"
        aria-label="Keyboard shortcuts"
        title="Keyboard shortcuts (?)"
        onClick={() => (isHelpOpen.value = true)}
      >
        ?
      </button>
    </header>
    <h2 class="caption">
      Tables{tables.value === undefined ? "" : <span class="number">{count(tables.value.length)}</span>}
    </h2>
    <ul class="tables">
      {(tables.value ?? []).map((table) => {
        const progress = progressOf(table.status)
        return (
          <li key={table.name}>
            <button
              class="table-link"
              aria-current={table.name === tableName.value ? "true" : undefined}
              onClick={() => selectTable(table.name)}
            >
              <span class={`dot ${moodOf(table.status)}`} title={labelOf(table.status)} />
              <span class="name">{table.name}</span>
              <Spark points={activity.value.get(table.name) ?? []} />
              <span class="facts">
                {plural(table.size, "entry", "entries")}
                {table.status._tag === "CaughtUp" ? "" : ` · ${labelOf(table.status)}`}
                {progress === undefined ? "" : ` ${Math.floor(progress * 100)} %`}
                {table.lag === null || table.lag === 0 ? "" : ` · lag ${count(table.lag)}`}
              </span>
            </button>
          </li>
        )
      })}
    </ul>
    <footer class={`link ${connection.value._tag}`}>
      <span class="dot" aria-hidden="true" />
      <span role="status">{said[connection.value._tag]}</span>
      <span class="host">{location.host}</span>
    </footer>
  </nav>
)
