/** Where the page begins. */
import { render } from "preact"
import { listen } from "./keyboard.ts"
import { start } from "./model.ts"
import { App } from "./view/App.tsx"

start()
listen()
render(<App />, document.body)
