/** The whole page. */
import { useEffect, useRef } from "preact/hooks"
import { connection, isCovered, isHelpOpen, now, retry, tableName, tables } from "../model.ts"
import { ago } from "../words.ts"
import { Detail } from "./Detail.tsx"
import { Entries } from "./Entries.tsx"
import { Head } from "./Head.tsx"
import { Sidebar } from "./Sidebar.tsx"

const Banner = () => {
  const state = connection.value
  if (state._tag !== "Lost") return null
  const left = Math.ceil((state.retryAt - now.value) / 1000)
  return (
    <div class="banner" role="alert">
      <span>
        <b>Disconnected.</b> {state.reason} {tables.value === undefined ? "" : "What you see is from before. "}
      </span>
      <span class="next">
        {ago(now.value - state.since) === "now" ? "" : `For ${ago(now.value - state.since)}. `}
        {left > 0 ? `Next attempt in ${left} s` : "Trying again…"}
      </span>
      <button class="small" onClick={retry}>
        Try now
      </button>
    </div>
  )
}

const shortcuts: ReadonlyArray<readonly [keys: ReadonlyArray<string>, does: string]> = [
  [["/"], "Filter"],
  [["↑", "↓"], "Previous and next entry"],
  [["Page ↑", "Page ↓"], "A page of entries"],
  [["Home", "End"], "First and last entry"],
  [["Enter"], "Open the entry"],
  [["[", "]"], "Previous and next table"],
  [["Esc"], "Clear the filter, close the entry"],
  [["?"], "These shortcuts"]
]

const Help = () => {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (isHelpOpen.value) dialog.current?.showModal()
    else dialog.current?.close()
  }, [isHelpOpen.value])
  return (
    <dialog ref={dialog} aria-labelledby="help-title" onClose={() => (isHelpOpen.value = false)}>
      <h2 id="help-title">Keyboard shortcuts</h2>
      <dl>
        {shortcuts.map(([keys, does]) => (
          <div key={does}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button>Close</button>
      </form>
    </dialog>
  )
}

const Empty = () => (
  <div class="nothing whole">
    {tables.value === undefined ? (
      <p>{connection.value._tag === "Lost" ? "" : "Connecting…"}</p>
    ) : (
      <>
        <h2>This server serves no table</h2>
        <p>Give it one, and it appears here. In a terminal:</p>
        <pre class="code">ktables serve my-topic --port 8080</pre>
      </>
    )}
  </div>
)

export const App = () => (
  <div class={connection.value._tag === "Lost" ? "app lost" : "app"}>
    <Sidebar />
    <Banner />
    {tableName.value === undefined ? (
      <main class="main">
        <Empty />
      </main>
    ) : (
      <>
        <main class="main" inert={isCovered.value}>
          <Head />
          <Entries />
        </main>
        <Detail />
      </>
    )}
    <Help />
  </div>
)
