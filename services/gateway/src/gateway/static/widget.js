/*! Foreword: recommended content as <foreword-recommendations>. Apache-2.0 */
(() => {
  "use strict";
  const NAME = "foreword-recommendations";
  if (customElements.get(NAME)) return;
  const script = document.currentScript;
  const HOME = script && script.src ? new URL(".", script.src).href.replace(/\/$/, "") : "";
  const VIEW_MS = 1000;
  const WAIT_MS = 4000;

  // Heights are fixed in em, so that what is reserved before the answer is what the answer takes.
  const CSS = `
:host{display:block;container-type:inline-size;font:inherit;font-size:var(--foreword-font-size,1rem);
font-family:var(--foreword-font,inherit);color:var(--foreword-color,inherit);line-height:1.35}
:host([hidden]){display:none}
section{background:var(--foreword-background,transparent);padding:var(--foreword-padding,0)}
.h{height:2.25em;overflow:hidden;white-space:nowrap;text-overflow:ellipsis;
font-weight:var(--foreword-heading-weight,650);font-size:var(--foreword-heading-size,1em)}
ul{list-style:none;margin:0;padding:0;display:grid;gap:var(--foreword-gap,.75em);
grid-template-columns:repeat(var(--foreword-columns,1),minmax(0,1fr))}
@container (max-width:30em){ul{grid-template-columns:minmax(0,1fr)}}
li{height:var(--foreword-item-height,8em);box-sizing:border-box;overflow:hidden;
background:var(--foreword-item-background,transparent);border-radius:var(--foreword-radius,.5em);
border:var(--foreword-border,1px solid color-mix(in srgb,currentColor 18%,transparent))}
a{display:flex;gap:.9em;height:100%;box-sizing:border-box;padding:.8em .9em;color:inherit;text-decoration:none;
border-radius:inherit}
a:hover .t,a:focus-visible .t{text-decoration:underline;text-underline-offset:.15em}
a:focus-visible{outline:.18em solid var(--foreword-accent,currentColor);outline-offset:-.2em}
img{flex:none;width:6.4em;height:100%;object-fit:cover;border-radius:calc(var(--foreword-radius,.5em)*.6)}
.b{min-width:0;display:flex;flex-direction:column;gap:.25em}
.k{font-size:.75em;color:var(--foreword-accent,inherit);white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.k::first-letter{text-transform:uppercase}
.t,.s{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden;flex:none}
.t{font-weight:var(--foreword-title-weight,600)}
.s{font-size:.875em;color:var(--foreword-muted,inherit)}
.w{border-color:transparent;background:color-mix(in srgb,currentColor 6%,transparent)}
@media (prefers-reduced-motion:no-preference){.w{animation:p 1.4s ease-in-out infinite alternate}
@keyframes p{to{opacity:.5}}}`;

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text) element.textContent = text;
    return element;
  };
  const safe = (url) => (/^https?:\/\//i.test(url || "") ? url : null);
  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
  const attempt = (work) => {
    try {
      return work() || null;
    } catch {
      return null; // storage may be closed to us, and a tracking library may be half loaded
    }
  };
  const nobody = "w-" + random(); // of this page view alone, kept nowhere

  class Recommendations extends HTMLElement {
    static observedAttributes = ["placement", "count", "user-id", "user-token", "anonymous-id", "key", "answer", "asset", "consent"];

    connectedCallback() {
      if (!this.shadowRoot) {
        const root = this.attachShadow({ mode: "open" });
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(CSS); // no <style>: a strict Content-Security-Policy has nothing to object to
        root.adoptedStyleSheets = [sheet];
      }
      this.begin();
    }

    disconnectedCallback() {
      this.stop();
    }

    attributeChangedCallback(_, before, now) {
      if (this.shadowRoot && this.isConnected && before !== now) this.begin();
    }

    stop() {
      this.flush();
      for (const part of [this.near, this.seen]) part?.disconnect();
      for (const timer of (this.timers || new Map()).values()) clearTimeout(timer);
      this.aborter?.abort();
      removeEventListener("pagehide", this.onHide);
      document.removeEventListener("visibilitychange", this.onHide);
    }

    begin() {
      this.stop();
      this.timers = new Map();
      this.waiting = [];
      this.hidden = false;
      this.style.minHeight = "";
      this.onHide = () => {
        if (!document.hidden) return;
        for (const [item, timer] of this.timers) clearTimeout(timer), this.timers.delete(item);
        this.flush();
      };
      addEventListener("pagehide", this.onHide);
      document.addEventListener("visibilitychange", this.onHide);
      this.reserve();
      this.near = new IntersectionObserver(
        (entries) => {
          if (!entries.some((entry) => entry.isIntersecting)) return;
          this.near.disconnect();
          this.load();
        },
        { rootMargin: this.getAttribute("margin") || "400px" },
      );
      this.near.observe(this);
    }

    get count() {
      return Math.min(50, Math.max(1, parseInt(this.getAttribute("count"), 10) || 3));
    }

    reserve() {
      const section = make("section");
      section.setAttribute("aria-busy", "true");
      section.append(make("div", "h"), make("ul"));
      for (let i = 0; i < this.count; i++) section.lastChild.append(make("li", "w"));
      section.lastChild.setAttribute("aria-hidden", "true");
      this.shadowRoot.replaceChildren(section);
    }

    /* Attribute, else the id that Segment's or RudderStack's library has, else (if allowed) one of our own. */
    get anonymousId() {
      return (
        this.getAttribute("anonymous-id") ||
        attempt(() => window.analytics.user().anonymousId()) ||
        attempt(() => window.rudderanalytics.getAnonymousId()) ||
        (this.hasAttribute("remember")
          ? attempt(() => (localStorage.foreword_id ||= "w-" + random()))
          : null)
      );
    }

    async load() {
      const aborter = (this.aborter = new AbortController());
      const timer = setTimeout(() => aborter.abort(), WAIT_MS);
      let answer = null;
      try {
        answer = this.hasAttribute("answer") ? JSON.parse(this.getAttribute("answer")) : await this.ask(aborter.signal);
      } catch {
        answer = null; // away, too slow or refused: the page is as good without us
      }
      clearTimeout(timer);
      if (this.aborter !== aborter || !this.isConnected) return;
      const items = ((answer && answer.items) || []).filter((item) => safe(item.click_url || item.url));
      if (items.length) this.show(answer, items.slice(0, this.count));
      else this.vanish();
    }

    async ask(signal) {
      const asked = {
        placement: this.getAttribute("placement") || "default",
        count: this.count,
        context: { url: location.href.slice(0, 2000) },
      };
      if (this.getAttribute("asset")) asked.context.asset_id = this.getAttribute("asset");
      const user = this.getAttribute("user-id");
      const token = this.getAttribute("user-token");
      if (this.consent !== "profile") asked.consent = this.consent;
      else {
        const anonymous = this.anonymousId;
        if (user && token) Object.assign(asked, { user_id: user, user_token: token });
        if (anonymous) asked.anonymous_id = anonymous;
      }
      const response = await fetch(this.base + "/v1/recommendations", {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: "Bearer " + this.getAttribute("key") },
        body: JSON.stringify(asked),
        credentials: "omit",
        signal,
      });
      if (!response.ok) throw new Error(response.status);
      return response.json();
    }

    /* none, contextual or profile: how far the answer may know the reader. */
    get consent() {
      return this.getAttribute("consent") || "profile";
    }

    get base() {
      return (this.getAttribute("base") || HOME).replace(/\/$/, "");
    }

    show(answer, items) {
      const reserved = this.offsetHeight;
      const section = make("section");
      const heading = make("div", "h", this.getAttribute("heading") || "Recommended for you");
      heading.id = "h";
      heading.part = "heading";
      heading.setAttribute("role", "heading");
      heading.setAttribute("aria-level", this.getAttribute("heading-level") || "2");
      section.setAttribute("aria-labelledby", "h");
      const list = make("ul");
      list.setAttribute("role", "list"); // Safari forgets that it is one when it has no bullets
      list.part = "list";
      this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.glance(entry, answer)), {
        threshold: 0.5,
      });
      for (const item of items) {
        const row = this.row(item);
        list.append(row);
        row.asset = item;
        this.seen.observe(row);
      }
      section.append(heading, list);
      this.shadowRoot.replaceChildren(section);
      if (this.offsetHeight < reserved) this.style.minHeight = reserved + "px";
      this.tell("foreword:shown", { recommendation_id: answer.recommendation_id, items });
    }

    row(item) {
      const row = make("li");
      row.part = "item";
      const link = make("a");
      link.part = "link";
      link.href = safe(item.click_url || item.url);
      if (this.hasAttribute("target")) Object.assign(link, { target: this.getAttribute("target"), rel: "noopener" });
      if (safe(item.image_url) && this.getAttribute("images") !== "off") {
        const image = Object.assign(make("img"), { alt: "", loading: "lazy", decoding: "async" });
        image.onerror = () => image.remove();
        image.src = item.image_url;
        link.append(image);
      }
      const body = make("span", "b");
      body.dir = "auto";
      const kind = (item.type || "").replace(/_/g, " ");
      const why = item.reasons && item.reasons[0] && item.reasons[0].text;
      body.append(make("span", "t", item.title));
      if (item.summary) body.append(make("span", "s", item.summary));
      body.prepend(make("span", "k", [kind === "other" ? "" : kind, why].filter(Boolean).join(" · ")));
      link.append(body);
      row.append(link);
      return row;
    }

    /* An impression: half of it was visible for a second, in a tab that is looked at. */
    glance(entry, answer) {
      const row = entry.target;
      clearTimeout(this.timers.get(row));
      this.timers.delete(row);
      if (entry.intersectionRatio < 0.5 || document.hidden) return;
      this.timers.set(
        row,
        setTimeout(() => {
          this.timers.delete(row);
          this.seen.unobserve(row);
          this.viewed(answer, row.asset);
        }, VIEW_MS),
      );
    }

    viewed(answer, item) {
      const event = {
        type: "track",
        event: "Recommendation Viewed",
        messageId: "view-" + answer.recommendation_id + "-" + item.id,
        timestamp: new Date().toISOString(),
        anonymousId: (this.consent === "profile" && this.anonymousId) || nobody,
        properties: {
          recommendation_id: answer.recommendation_id,
          asset_id: item.id,
          placement: this.getAttribute("placement") || "default",
          channel: "web",
          rank: item.rank,
        },
        context: { page: { url: location.href.slice(0, 2000) } },
      };
      if (this.consent === "profile" && this.getAttribute("user-id")) event.userId = this.getAttribute("user-id");
      this.waiting.push(event);
      this.tell("foreword:viewed", { recommendation_id: answer.recommendation_id, item });
      clearTimeout(this.flushing);
      this.flushing = setTimeout(() => this.flush(), 300);
    }

    flush() {
      const key = this.getAttribute("key");
      const batch = this.waiting || [];
      this.waiting = [];
      if (!key || !batch.length) return;
      // text/plain and the key in the body: no preflight, and it still leaves while the page is closed.
      fetch(this.base + "/v1/batch", {
        method: "POST",
        headers: { "Content-Type": "text/plain" },
        body: JSON.stringify({ writeKey: key, sentAt: new Date().toISOString(), batch }),
        credentials: "omit",
        keepalive: true,
      }).catch(() => {});
    }

    vanish() {
      this.shadowRoot.replaceChildren();
      this.hidden = true;
      this.tell("foreword:empty", {});
    }

    tell(name, detail) {
      this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, detail }));
    }
  }
  customElements.define(NAME, Recommendations);
})();
