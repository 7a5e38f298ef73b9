// @ts-check
/**
 * The browser tag: sends a page's events to the collector.
 *
 *   cact('config', {siteId, sourceKey, …})    cact('trigger', name, properties, config, callback)
 *   cact('setProperty', 'user.id', '42')      cact('flush')      cact('status', callback)
 *
 * What must stay true:
 *
 * - Nothing here throws into the page or writes to its console.
 * - An event is in the outbox (localStorage) from the moment it is triggered until the collector has answered or,
 *   when the page ends, the browser has taken it over. What is dropped, at the outbox's bounds or because the
 *   collector can't take it, is counted.
 * - An entry of the outbox is sent by the tab that leased it. When the lease has run out, because the tab is gone
 *   or gave up, any tab may take it. So an event may arrive twice, always with the same id.
 * - Consent is passed on as the page tells it. Nothing told, nothing sent.
 *
 * The collector serves this file without comments and indentation (tag.py): no string or pattern here may hold the
 * beginning of a comment or go over the end of a line.
 *
 * @typedef {{[name: string]: any}} Properties
 * @typedef {{key: string, url: string, body: string}} Entry  `body` is the event as JSON.
 * @typedef {(result: {event_id: string, error?: string}) => void} Callback
 *
 * @typedef {object} Settings
 * @property {string | number} [siteId]
 * @property {string} [sourceKey]
 * @property {string} [collectionDomain]  Where the collector is: host, host/path or URL; else where this file is from.
 * @property {string} [eventId]  The id of one event; only read from the config of a `trigger`.
 * @property {any[] | (() => any[] | undefined | null)} [consentCategories]  The granted categories, or who tells them.
 * @property {string} caid  Who makes and keeps the visitor's id: `cookie`, `storage` or `server`.
 * @property {string} [cookieDomain]  The Domain of the cookie CAID; without it, the page's host alone.
 * @property {boolean | string} [exemptMode]  No id is made, read or sent.
 * @property {boolean | string | string[]} cookies  Which cookies the context holds: all, none, or those named.
 * @property {string} [testCode]
 * @property {number | string} batchDelay  Milliseconds that events wait for company.
 * @property {number | string} maxStored  Events in the outbox.
 */
(() => {
  'use strict';

  const ENTRY = 'turnout:';
  const DROPPED = 'turnout.dropped';
  const EVENT_BYTES = 32768;
  const BATCH_BYTES = 500000;
  // Browsers refuse more than 64 KiB, over all requests under way, in what may outlive the page.
  const PARTING_BYTES = 60000;
  const OUTBOX_CHARACTERS = 1e6;
  const TIMEOUT_MS = 15000;
  const LEASE_MS = 60000;
  const NEXT_TURN_MS = 1000;
  const LONGEST_PAUSE_MS = 300000;

  const page = /** @type {any} */ (window);
  if (page.cact && page.cact.turnout) return;

  const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  const home = script && script.src ? new URL('.', script.src).href : '';
  /** @type {Settings} */
  const settings = { caid: 'cookie', cookies: true, batchDelay: 200, maxStored: 200, ...(script && script.dataset) };
  /** @type {Properties} */
  const permanent = {};
  /** @type {any[][]} Calls of `trigger` from before siteId and sourceKey were known. */
  const waiting = [];
  /** @type {Entry[]} Leased by this tab, not sent yet. */
  let queue = [];
  /** @type {Entry[]} */
  let inFlight = [];
  /** @type {{[key: string]: (error?: string) => void}} */
  const callbacks = {};
  /** @type {Promise<void> | undefined} */
  let pumping;
  let sent = 0;
  let failures = 0;
  let pauseEnds = 0;
  let timer = 0;
  let timerEnds = 0;
  let lastKey = 0;
  let caid = '';

  const online = () => navigator.onLine !== false;
  const ready = () => online() && Date.now() >= pauseEnds;
  /** @param {string} text */
  const bytes = (text) => new Blob([text]).size;
  /** @param {any} value @returns {value is Properties} */
  const isObject = (value) => !!value && [Object.prototype, null].includes(Object.getPrototypeOf(value));
  /** @param {number} count */
  const digits = (count) => Array.from(crypto.getRandomValues(new Uint32Array(count)), (n) => n % 10).join('');

  /**
   * The function with every exception, also a later one, kept away from the page.
   * @template {any[]} A
   * @param {(...args: A) => any} work
   * @returns {(...args: A) => void}
   */
  const guarded = (work) => (...args) => {
    try {
      Promise.resolve(work(...args)).catch(() => 0);
    } catch {
      return;
    }
  };

  /**
   * Puts what `source` says into `target`: objects are merged, everything else is replaced.
   * @param {Properties} target
   * @param {Properties} source
   * @returns {Properties}
   */
  const merge = (target, source) => {
    for (const [name, value] of Object.entries(source)) {
      if (value === undefined || name === '__proto__') continue;
      target[name] = isObject(value) ? merge(isObject(target[name]) ? target[name] : {}, value) : value;
    }
    return target;
  };

  // The outbox: an item of its own for every event, so that tabs don't overwrite each other's. Keys sort by age.

  /** @type {{[key: string]: string}} Takes what localStorage doesn't. */
  const memory = {};
  let disk = memory;
  try {
    disk = localStorage || memory;
  } catch {
    disk = memory;
  }

  /** @param {string} key @returns {string} */
  const stored = (key) => disk[key] || memory[key] || '';
  const outbox = () =>
    [...new Set([...Object.keys(disk), ...Object.keys(memory)])].filter((key) => key.startsWith(ENTRY)).sort();

  /** @param {string} key */
  const forget = (key) => {
    delete disk[key];
    delete memory[key];
  };

  /** @param {string} key @param {string} text */
  const store = (key, text) => {
    forget(key);
    try {
      disk[key] = text;
    } catch {
      memory[key] = text;
    }
  };

  /**
   * Keeps the entry; no other tab takes it before `until` (ms).
   * @param {Entry} entry
   * @param {number} until
   */
  const save = (entry, until) => store(entry.key, [until, entry.url, entry.body].join('\n'));

  const countDropped = () => store(DROPPED, String(+stored(DROPPED) + 1));

  /**
   * The end of an event here.
   * @param {string} key
   * @param {string} [error]  Why it is dropped; without it, it is sent.
   */
  const settle = (key, error) => {
    forget(key);
    if (error) {
      queue = queue.filter((entry) => entry.key !== key);
      countDropped();
    } else {
      sent += 1;
    }
    const callback = callbacks[key];
    delete callbacks[key];
    if (callback) callback(error);
  };

  const keepBounds = () => {
    const keys = outbox();
    let size = keys.reduce((sum, key) => sum + stored(key).length, 0);
    while (keys.length > +settings.maxStored || size > OUTBOX_CHARACTERS) {
      const oldest = String(keys.shift());
      size -= stored(oldest).length;
      settle(oldest, 'outbox_full');
    }
  };

  // Sending.

  /** @param {number | string} delay  Milliseconds; a sooner appointment stays. */
  const schedule = (delay) => {
    const ends = Date.now() + +delay;
    if (timer && ends >= timerEnds) return;
    clearTimeout(timer);
    timerEnds = ends;
    timer = setTimeout(tick, +delay);
  };

  /**
   * Takes from the head of the queue what goes to one address in one request.
   * @param {number} limit  Bytes; more than one event has.
   */
  const take = (limit) => {
    const url = queue[0].url;
    let size = 20;
    let count = 0;
    for (const entry of queue) {
      size += bytes(entry.body) + 1;
      if (entry.url !== url || size > limit) break;
      count += 1;
    }
    const chunk = queue.splice(0, count);
    return { url, chunk, body: '{"batch":[' + chunk.map((entry) => entry.body).join() + ']}' };
  };

  const post = async () => {
    const { url, chunk, body } = take(BATCH_BYTES);
    inFlight = chunk;
    let status = 0;
    try {
      const response = await fetch(url, {
        method: 'POST',
        body,
        credentials: 'include',
        headers: { 'Content-Type': 'application/json' },
        keepalive: bytes(body) < PARTING_BYTES,
        signal: AbortSignal.timeout && AbortSignal.timeout(TIMEOUT_MS),
      });
      status = response.status;
    } catch {
      status = 0;
    }
    const left = inFlight;
    inFlight = [];
    if (status && status < 500 && status !== 408 && status !== 429) {
      failures = 0;
      for (const { key } of chunk) settle(key, status < 300 ? undefined : 'refused');
      return;
    }
    failures += 1;
    const pause = Math.min(1000 * 2 ** failures, LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2);
    pauseEnds = Date.now() + pause;
    for (const entry of [...left, ...queue.splice(0)]) save(entry, 0);
    schedule(pause);
  };

  /** Sends the queue, one request at a time. */
  const pump = () => {
    const run = async () => {
      while (queue.length && ready()) await post();
    };
    pumping = pumping || run().finally(() => (pumping = undefined));
    return pumping;
  };

  /** Leases what nobody holds, and sends it. */
  const adopt = async () => {
    if (!ready()) return;
    const now = Date.now();
    const own = [...queue, ...inFlight].map((entry) => entry.key);
    for (const key of outbox()) {
      const [until, url, body] = stored(key).split('\n');
      if (own.includes(key) || +until > now) continue;
      const entry = { key, url, body };
      save(entry, now + LEASE_MS);
      queue.push(entry);
    }
    await pump();
  };

  const tick = guarded(async () => {
    timer = 0;
    if (!online()) return;
    if (!ready()) return schedule(pauseEnds - Date.now());
    await pump();
    // Tabs take turns, so that the next one sees what this one has leased and sent.
    const turn = async (/** @type {Lock | null} */ lock) => (lock ? adopt() : schedule(NEXT_TURN_MS));
    await (navigator.locks ? navigator.locks.request(ENTRY, { ifAvailable: true }, turn) : adopt()).catch(adopt);
    if (outbox().length) schedule(LEASE_MS);
  });

  /** Hands the queue to the browser, which sends it even if the page ends now. */
  const part = () => {
    while (queue.length) {
      const { url, chunk, body } = take(PARTING_BYTES);
      let taken = false;
      try {
        taken = online() && navigator.sendBeacon(url, body);
      } catch {
        taken = false;
      }
      for (const entry of chunk) {
        if (taken) settle(entry.key);
        else save(entry, 0);
      }
      if (!taken) schedule(settings.batchDelay);
    }
  };

  // The event.

  /** @param {Settings} s */
  const visitor = (s) => {
    const found = /(?:^|; )CAID=([\w.-]{1,64})(?:;|$)/.exec(document.cookie);
    if (s.exemptMode) return undefined;
    if (found || s.caid === 'server') return found ? found[1] : undefined;
    caid = caid || stored('CAID') || new Date().getFullYear() + digits(20);
    if (s.caid === 'storage') {
      store('CAID', caid);
    } else {
      const domain = s.cookieDomain ? '; Domain=' + s.cookieDomain : '';
      const secure = location.protocol === 'https:' ? '; Secure' : '';
      document.cookie = 'CAID=' + caid + '; Path=/; Max-Age=31536000; SameSite=Lax' + domain + secure;
    }
    return caid;
  };

  /** @param {Settings} s */
  const consent = (s) => {
    try {
      const given = typeof s.consentCategories === 'function' ? s.consentCategories() : s.consentCategories;
      return Array.isArray(given) ? given : undefined;
    } catch {
      return undefined;
    }
  };

  /** @param {Settings} s */
  const cookies = (s) => {
    const shown = /** @type {any[]} */ ([]).concat(s.exemptMode ? false : s.cookies);
    const pairs = document.cookie.split('; ');
    return pairs.filter((pair) => shown.includes(true) || shown.includes(pair.split('=')[0])).join('; ') || undefined;
  };

  /**
   * The event: what the tag knows, over it the permanent properties, over them the event's own.
   * @param {string} name
   * @param {any} properties
   * @param {Settings} s
   * @param {string} id
   * @param {number} time
   */
  const build = (name, properties, s, id, time) => {
    const { title } = document;
    const url = location.href;
    const referrer = document.referrer || undefined;
    /** @type {Properties} */
    const event = {
      event_name: name,
      url,
      ...(name === 'page_view' && { title, path: location.pathname, referrer }),
      test_code: s.testCode,
      user: { consistent_anonymous_id: visitor(s), consent_categories: consent(s) },
      context: {
        event_id: id,
        event_timestamp: time,
        page: {
          title,
          url,
          lang: document.documentElement.lang || undefined,
          referrer,
          viewport: { width: innerWidth, height: innerHeight },
        },
        device: {
          user_agent: navigator.userAgent,
          lang: navigator.language,
          timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
          cookie: cookies(s),
        },
        tag: { version: 1, dropped: +stored(DROPPED) || undefined },
      },
    };
    merge(event, permanent);
    if (isObject(properties)) merge(event, properties);
    event.event_name = name;
    return event;
  };

  /** @param {Settings} s */
  const address = (s) => {
    const where = String(s.collectionDomain || home);
    const base = /^https?:/.test(where) ? where : 'https://' + where;
    const query = { tc_s: String(s.siteId), token: String(s.sourceKey), ...(s.exemptMode && { tc_do_not_track: '1' }) };
    return base.replace(/\/*$/, '/events/batch?') + new URLSearchParams(query);
  };

  // The commands.

  /** @type {{[name: string]: (...args: any[]) => void}} */
  const commands = {
    /** @param {Partial<Settings>} options */
    config(options) {
      Object.assign(settings, options, { eventId: undefined });
      for (const call of waiting.splice(0)) commands.trigger(...call);
    },

    /**
     * @param {string} path  Names with dots between them.
     * @param {any} value  `undefined` takes the property away.
     */
    setProperty(path, value) {
      const names = String(path).split('.');
      const last = String(names.pop());
      if (/(^|\.)__proto__(\.|$)/.test(path)) return;
      const target = names.reduce((at, name) => (at[name] = isObject(at[name]) ? at[name] : {}), permanent);
      if (value === undefined) delete target[last];
      else target[last] = isObject(value) ? merge({}, value) : value;
    },

    /**
     * @param {string} name
     * @param {any} [properties]
     * @param {Partial<Settings>} [overrides]
     * @param {Callback} [callback]  Called when the collector, or at the page's end the browser, has the event.
     * @param {number} [time]
     */
    trigger(name, properties, overrides, callback, time = Date.now()) {
      const s = { ...settings, ...overrides };
      if (!s.siteId || !s.sourceKey) {
        waiting.push([name, properties, overrides, callback, time]);
        if (waiting.length <= +s.maxStored) return;
        waiting.shift();
        return countDropped();
      }
      // A millisecond of its own, so that events of one tab keep their order.
      lastKey = Math.max(time, lastKey + 1);
      const id = lastKey + digits(11);
      const key = ENTRY + id;
      const told = [callback, overrides, properties].find((argument) => typeof argument === 'function');
      if (told) callbacks[key] = guarded((error) => told({ event_id: s.eventId || id, error }));
      let body = '';
      try {
        const event = build(name, properties, s, s.eventId || id, time);
        body = JSON.stringify(event, (_, value) =>
          typeof value === 'bigint' ? String(value) : value instanceof Node ? undefined : value
        );
      } catch {
        return settle(key, 'not_json');
      }
      if (bytes(body) > EVENT_BYTES) return settle(key, 'too_large');
      const entry = { key, url: address(s), body };
      const now = ready();
      save(entry, now ? Date.now() + LEASE_MS : 0);
      keepBounds();
      if (!now) return;
      queue.push(entry);
      if (document.visibilityState === 'hidden') part();
      else schedule(s.batchDelay);
    },

    /** Sends what waits for company. */
    flush() {
      schedule(0);
    },

    /** @param {(status: {stored: number, sent: number, dropped: number}) => void} callback */
    status(callback) {
      callback({ stored: outbox().length, sent, dropped: +stored(DROPPED) });
    },
  };

  /** @type {any[]} */
  const calls = (page.caReady = page.caReady || []);
  page.cact = page.cact || ((/** @type {any[]} */ ...call) => void calls.push(call));

  const start = guarded(() => {
    const cact = guarded((/** @type {any[]} */ ...[command, ...args]) => commands[command](...args));
    page.cact = Object.assign(cact, { turnout: true });
    // Whoever kept the old function still pushes its calls here.
    calls.push = (...more) => more.map((call) => cact(...call)).length;
    for (const call of calls.splice(0)) cact(...call);

    addEventListener('online', () => {
      pauseEnds = 0;
      schedule(0);
    });
    document.addEventListener('visibilitychange', guarded(() => {
      if (document.visibilityState === 'hidden') part();
      else schedule(0);
    }));
    addEventListener('pagehide', guarded((/** @type {PageTransitionEvent} */ event) => {
      part();
      if (!online()) return;
      // The browser goes on with them, as with a beacon, whatever this page is still told about them. Should the page
      // come back and learn that they failed, they are stored again.
      for (const { key } of inFlight) forget(key);
      if (!event.persisted) inFlight = [];
    }));
    addEventListener('pageshow', (event) => {
      if (event.persisted) schedule(0);
    });
    schedule(settings.batchDelay);
  });

  // A page that is loaded ahead of its visit says nothing until it is visited.
  if (/** @type {any} */ (document).prerendering) document.addEventListener('prerenderingchange', start, { once: true });
  else start();
})();
