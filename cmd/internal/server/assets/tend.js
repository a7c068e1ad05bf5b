// Keeps the page up to date: the server tells that there is something new, the page fetches itself, and the parts
// that changed are exchanged. Without this script everything can be read, as of when the page was loaded.
'use strict';
(() => {
  const live = document.getElementById('live');
  const said = document.getElementById('said');
  if (!document.body.hasAttribute('data-follow') || !window.EventSource) return;

  const minute = 60, hour = 3600, day = 86400;

  // ago says a time as the server does (render.go); one that is due has come once it is past.
  function ago(then, due) {
    if (due && then <= Date.now()) return 'now';
    let s = Math.round((Date.now() - then) / 1000);
    const future = s < 0;
    s = Math.abs(s);
    if (s < 10) return future || due ? 'soon' : 'just now';
    const text = s < minute ? s + ' s' : s < hour ? Math.floor(s / minute) + ' min'
      : s < 2 * day ? Math.floor(s / hour) + ' h' : Math.floor(s / day) + ' days';
    return future ? 'in ' + text : text + ' ago';
  }

  function tick() {
    for (const t of document.querySelectorAll('time[data-ago]')) {
      const text = ago(Date.parse(t.dateTime), t.hasAttribute('data-due'));
      if (t.textContent !== text) t.textContent = text;
    }
  }

  function show(state, word) {
    live.hidden = false;
    live.className = 'live ' + state;
    live.lastElementChild.textContent = word;
  }

  // busy: somebody types into it.
  function busy(part) {
    const a = document.activeElement;
    return part.contains(a) && /^(INPUT|TEXTAREA|SELECT)$/.test(a.tagName);
  }

  // place finds an element again after its part was exchanged.
  function place(part, el) {
    if (!part.contains(el) || el === document.body) return null;
    const same = [...part.querySelectorAll(el.tagName)];
    const href = el.getAttribute('href');
    const n = same.filter((x) => x.getAttribute('href') === href).indexOf(el);
    return () => {
      const found = [...part.querySelectorAll(el.tagName)].filter((x) => x.getAttribute('href') === href)[n];
      if (found) found.focus({ preventScroll: true });
    };
  }

  function exchange(part, fresh) {
    const open = new Set([...part.querySelectorAll('details[open][data-key]')].map((d) => d.dataset.key));
    const closed = new Set([...part.querySelectorAll('details:not([open])[data-key]')].map((d) => d.dataset.key));
    const back = place(part, document.activeElement);
    part.replaceChildren(...fresh.childNodes);
    part.className = fresh.className;
    for (const d of part.querySelectorAll('details[data-key]')) {
      if (open.has(d.dataset.key)) d.open = true;
      if (closed.has(d.dataset.key)) d.open = false;
    }
    if (back) back();
  }

  // bare is a part without what only time changes.
  function bare(part) {
    const copy = part.cloneNode(true);
    for (const t of copy.querySelectorAll('time[data-ago]')) t.textContent = '';
    for (const d of copy.querySelectorAll('details')) d.open = false;
    return copy.className + copy.innerHTML;
  }

  async function refresh() {
    const answer = await fetch(location.href, { cache: 'no-store', headers: { Accept: 'text/html' } });
    if (answer.redirected && new URL(answer.url).pathname === '/login') { location.reload(); return; }
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const parts = (doc) => [...doc.querySelectorAll('[data-live]')].map((p) => p.id).join(' ');
    if (parts(page) !== parts(document)) { location.reload(); return; }
    const before = document.getElementById('verdict-text') || document.getElementById('verdict-small');
    const was = before && before.textContent;
    for (const part of document.querySelectorAll('[data-live]')) {
      const fresh = page.getElementById(part.id);
      if (fresh && !busy(part) && bare(part) !== bare(fresh)) exchange(part, fresh);
    }
    const now = document.getElementById('verdict-text') || document.getElementById('verdict-small');
    if (now && was !== now.textContent) said.textContent = now.textContent;
    document.title = page.title;
    tick();
  }

  let running = false, again = false, first = true;
  async function update() {
    if (running) { again = true; return; }
    running = true;
    try { await refresh(); show('on', 'live'); } catch { show('off', 'not live: the agent does not answer'); }
    running = false;
    if (again) { again = false; update(); }
  }

  const events = new EventSource('/events');
  events.addEventListener('open', () => show('on', 'live'));
  events.addEventListener('report', (e) => {
    const shown = document.body.dataset.report;
    if (first && shown === e.lastEventId) { first = false; return; }
    first = false;
    update();
  });
  events.addEventListener('error', () => {
    show('off', events.readyState === EventSource.CLOSED ? 'not live: reload the page' : 'not live: connecting again');
  });
  window.addEventListener('pagehide', () => events.close());
  window.addEventListener('pageshow', (e) => { if (e.persisted) location.reload(); });
  setInterval(tick, 10000);
})();
