// The live list: keeps all rows, draws those in view. The server sends what changed.
const GLYPH = { critical: "▲", major: "◆", minor: "●", info: "○" };
const OVERSCAN = 8;

export default {
  template: `
<div class="board">
  <div class="filters" role="search">
    <div class="chips" role="group" :aria-label="texts['list.col_severity']">
      <button v-for="s in severities" :key="s" type="button" class="chip" :class="'sev-' + s"
        :aria-pressed="String(picked.has(s))" @click="pick(s)">
        <span class="glyph" aria-hidden="true">{{ glyph[s] }}</span>{{ texts['severity.' + s] }}
        <b>{{ counts.by_severity[s] || 0 }}</b>
      </button>
      <button type="button" class="chip" :aria-pressed="String(onlyNew)" @click="onlyNew = !onlyNew; redraw()">
        {{ texts['list.unhandled'] }} <b>{{ counts.unhandled }}</b>
      </button>
    </div>
    <select v-model="scenario" :aria-label="texts['list.scenario']" @change="redraw()">
      <option value="">{{ texts['list.all_scenarios'] }}</option>
      <option v-for="s in scenarios" :key="s[0]" :value="s[0]">{{ s[1] }}</option>
    </select>
    <input v-model="search" type="search" :placeholder="texts['list.search']" :aria-label="texts['list.search']"
      @input="redraw()">
    <span class="shown" aria-live="polite">{{ shownText }}</span>
  </div>
  <div class="cols" aria-hidden="true">
    <span>{{ texts['list.col_severity'] }}</span><span>{{ texts['list.col_event'] }}</span>
    <span>{{ texts['list.col_state'] }}</span><span class="right">{{ texts['list.col_age'] }}</span>
  </div>
  <div class="rows" ref="rows" @scroll.passive="place" tabindex="-1">
    <div v-if="!fitting.length" class="nothing">{{ order.length ? texts['list.none_fit'] : texts['list.empty'] }}</div>
    <div class="space" role="list" :style="{ height: fitting.length * rowHeight + 'px' }">
      <div v-for="item in drawn" :key="item.row.id" role="listitem" class="place" :aria-setsize="fitting.length"
        :aria-posinset="item.at + 1" :style="{ transform: 'translateY(' + item.at * rowHeight + 'px)' }">
        <a :href="'/incidents/' + item.row.id" class="inc"
          :class="['sev-' + item.row.severity, item.row.state, { safety: item.row.safety, fresh: fresh[item.row.id] }]"
          :data-incident="item.row.id">
          <span class="sev"><span class="glyph" aria-hidden="true">{{ glyph[item.row.severity] }}</span>{{
            texts['severity.' + item.row.severity] }}</span>
          <span class="what"><span class="line"><strong>{{ item.row.what }}</strong>
            <span v-if="item.row.safety" class="tag-safety">{{ texts['list.safety'] }}</span>
            <span class="entity">{{ item.row.entity }}</span></span>
            <span class="facts">{{ item.row.facts }}</span></span>
          <span class="state"><span class="st" :class="item.row.state">{{ texts['state.' + item.row.state] }}</span>
            <span class="hd" :class="item.row.handling">{{ texts['handling.' + item.row.handling] }}{{
              item.row.who ? ' · ' + item.row.who : '' }}</span></span>
          <span class="age" :title="time(item.row.onset)">{{ age(item.row.onset) }}</span>
        </a>
      </div>
    </div>
  </div>
  <div class="sr-only" role="status" aria-live="assertive">{{ spoken }}</div>
</div>`,
  props: { texts: Object },
  data() {
    return {
      order: [], counts: { total: 0, unhandled: 0, by_severity: {} }, picked: new Set(), onlyNew: false,
      scenario: "", search: "", fitting: [], first: 0, room: 20, rowHeight: 58, fresh: {}, spoken: "", now: 0,
      severities: ["critical", "major", "minor", "info"], glyph: GLYPH, scenarios: [], cap: 2000,
    };
  },
  created() {
    this.byId = new Map(); // not reactive: thousands of rows
  },
  mounted() {
    this.measure();
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.$refs.rows);
    this.ticking = setInterval(() => (this.now += 1), 1000);
  },
  unmounted() {
    this.observer.disconnect();
    clearInterval(this.ticking);
  },
  computed: {
    drawn() {
      void this.now;
      const first = Math.max(0, this.first - OVERSCAN);
      return this.fitting.slice(first, this.first + this.room + OVERSCAN)
        .map((row, place) => ({ row, at: first + place }));
    },
    shownText() {
      const key = this.counts.total > this.order.length ? "list.capped" : "list.shown";
      const shown = key === "list.capped" ? this.order.length : this.fitting.length;
      return this.texts[key].replace("{shown}", shown).replace("{total}", this.counts.total);
    },
  },
  methods: {
    // Called by the server: news = { everything, rows, removed, counts, cap }.
    take(news) {
      this.cap = news.cap;
      if (news.everything) this.byId.clear();
      for (const id of news.removed) this.byId.delete(id);
      for (const row of news.rows) {
        const known = this.byId.get(row.id);
        this.byId.set(row.id, Object.freeze(row));
        if (!news.everything && !known) this.greet(row);
      }
      this.counts = news.counts;
      let order = [...this.byId.values()].sort((a, b) => {
        for (let i = 0; i < a.key.length; i++) if (a.key[i] !== b.key[i]) return a.key[i] - b.key[i];
        return a.id < b.id ? -1 : 1;
      });
      if (order.length > this.cap) {
        for (const row of order.slice(this.cap)) this.byId.delete(row.id);
        order = order.slice(0, this.cap);
      }
      this.order = Object.freeze(order);
      const names = new Map(order.map((row) => [row.scenario, row.scenario_title]));
      this.scenarios = [...names].sort();
      this.redraw();
    },
    greet(row) {
      this.fresh[row.id] = true;
      setTimeout(() => delete this.fresh[row.id], 4000);
      if (row.safety) this.spoken = `${this.texts["list.new_safety"]}: ${row.what} ${row.entity}`;
    },
    redraw() {
      const text = this.search.trim().toLowerCase();
      this.fitting = Object.freeze(this.order.filter((row) =>
        (!this.picked.size || this.picked.has(row.severity)) &&
        (!this.onlyNew || row.handling === "new") &&
        (!this.scenario || row.scenario === this.scenario) &&
        (!text || `${row.what} ${row.entity} ${row.kind}`.toLowerCase().includes(text))));
      this.$nextTick(this.place);
    },
    pick(severity) {
      const picked = new Set(this.picked);
      if (!picked.delete(severity)) picked.add(severity);
      this.picked = picked;
      this.redraw();
    },
    measure() {
      if (!this.$refs.rows) return;
      this.rowHeight = window.innerWidth < 720 ? 88 : 58;
      this.room = Math.ceil(this.$refs.rows.clientHeight / this.rowHeight) + 1;
      this.place();
    },
    place() {
      if (this.$refs.rows) this.first = Math.floor(this.$refs.rows.scrollTop / this.rowHeight);
    },
    age(ms) {
      return window.zw ? window.zw.age(ms) : "";
    },
    time(ms) {
      return window.zw ? window.zw.time(ms) : "";
    },
  },
};
