// What the pages need of a script: the socket, ages of times, the dialog, copying, and a log that stays at its end.
(() => {
  "use strict"
  const meta = name => document.querySelector(`meta[name='${name}']`)?.content
  // The clock of this machine may be wrong; ages are told by the panel's.
  const ahead_ms = Date.now() - Number(meta("now") ?? Date.now())

  const span = ms => {
    const s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24)
    if (d > 0) return h % 24 ? `${d}d ${h % 24}h` : `${d}d`
    if (h > 0) return m % 60 ? `${h}h ${m % 60}m` : `${h}h`
    if (m > 0) return s % 60 && m < 10 ? `${m}m ${s % 60}s` : `${m}m`
    return `${s}s`
  }
  const age = time => {
    const ms = Date.now() - ahead_ms - Date.parse(time.dateTime)
    if (Number.isNaN(ms)) return time.textContent
    if (time.dataset.ago === "span") return span(Math.max(0, ms))
    if (Math.abs(ms) < 2000) return "now"
    return ms > 0 ? `${span(ms)} ago` : `in ${span(-ms)}`
  }
  const tell = time => {
    const text = age(time)
    if (time.textContent !== text) time.textContent = text
  }
  const tell_all = () => document.querySelectorAll("time[data-ago]").forEach(tell)
  tell_all()
  setInterval(tell_all, 1000)

  const hooks = {
    // A dialog of the browser's own keeps the focus within; it is given back by hand, for the dialog is taken away and not closed.
    Modal: {
      mounted() {
        this.from = document.activeElement
        this.el.addEventListener("cancel", event => { event.preventDefault(); this.pushEvent("cancel", {}) })
        this.el.showModal()
      },
      destroyed() { if (this.from?.isConnected) this.from.focus() },
    },
    Copy: {
      mounted() {
        const said = this.el.textContent
        this.el.addEventListener("click", async () => {
          const from = document.getElementById(this.el.dataset.from)
          try { await navigator.clipboard.writeText(from.value); this.el.textContent = "Copied" }
          catch {
            // Without TLS a browser gives no clipboard: the text is selected, and a key copies it.
            from.closest("details").open = true
            from.focus(); from.select()
            this.el.textContent = "Selected: copy it with Ctrl+C"
          }
          setTimeout(() => { this.el.textContent = said }, 3000)
        })
      },
    },
    // Who has scrolled up reads: the log moves only where its end is seen.
    Tail: {
      mounted() { this.end() },
      beforeUpdate() { this.at_end = this.el.scrollHeight - this.el.scrollTop - this.el.clientHeight < 40 },
      updated() { if (this.at_end) this.end() },
      end() { this.el.scrollTop = this.el.scrollHeight },
    },
  }

  const socket = new LiveView.LiveSocket(meta("live-path"), Phoenix.Socket, {
    params: { _csrf_token: meta("csrf-token") },
    hooks,
    dom: {
      onBeforeElUpdated(from, to) { if (to.matches("time[data-ago]")) to.textContent = age(to) },
      onNodeAdded(node) { if (node.querySelectorAll) { if (node.matches("time[data-ago]")) tell(node); node.querySelectorAll("time[data-ago]").forEach(tell) } },
    },
  })
  socket.connect()
  window.liveSocket = socket
})()
