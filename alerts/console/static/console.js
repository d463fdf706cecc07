// Times in the reader's own zone, ages that go on, and whether the page is connected. Loaded by every page.
(() => {
  const pad = (n) => String(n).padStart(2, "0");
  const zw = {
    texts: {},
    time(ms, seconds = true) {
      const d = new Date(ms);
      const clock = `${pad(d.getHours())}:${pad(d.getMinutes())}${seconds ? ":" + pad(d.getSeconds()) : ""}`;
      const now = new Date();
      if (d.toDateString() === now.toDateString()) return clock;
      const day = `${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
      return d.getFullYear() === now.getFullYear() ? `${day} ${clock}` : `${d.getFullYear()}-${day} ${clock}`;
    },
    age(ms) {
      const s = Math.max(0, Math.round((Date.now() - ms) / 1000));
      const say = (unit, n) => (zw.texts["age." + unit] || `{n} ${unit}`).replace("{n}", n);
      if (s < 120) return say("s", s);
      if (s < 7200) return say("m", Math.floor(s / 60));
      if (s < 172800) return say("h", Math.floor(s / 3600));
      return say("d", Math.floor(s / 86400));
    },
  };
  window.zw = zw;

  // Quasar says its own language once it starts; the page's is the reader's.
  const root = document.documentElement;
  zw.speak = (language) => {
    const set = () => root.lang !== language && (root.lang = language);
    new MutationObserver(set).observe(root, { attributeFilter: ["lang"] });
    set();
  };

  class Time extends HTMLElement {
    static observedAttributes = ["ms"];
    connectedCallback() {
      this.show();
    }
    attributeChangedCallback() {
      this.show();
    }
    show() {
      const ms = Number(this.getAttribute("ms"));
      this.textContent = this.hasAttribute("age") ? zw.age(ms) : zw.time(ms);
      this.title = new Date(ms).toLocaleString();
    }
  }
  customElements.define("zw-time", Time);

  setInterval(() => {
    document.querySelectorAll("zw-time[age]").forEach((one) => one.show());
    root.dataset.live = String(Boolean(window.socket && window.socket.connected));
  }, 1000);
})();
