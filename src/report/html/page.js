'use strict';
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);

  // The table of checks: a filter and a search, which are kept in the address, so that they can be shared.
  const controls = one('.controls');
  if (controls) {
    const rows = all('.checks tbody tr');
    const texts = rows.map(() => null);
    const buttons = all('[data-filter]', controls);
    const search = one('#search');
    const shown = one('#shown');
    const state = { filter: 'all', q: '' };

    const matches = (row, index, words) => {
      if (state.filter !== 'all' && row.dataset.change !== state.filter) return false;
      if (words.length === 0) return true;
      texts[index] ??= row.textContent.toLowerCase();
      return words.every((word) => texts[index].includes(word));
    };
    const apply = () => {
      const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      rows.forEach((row, index) => {
        const visible = matches(row, index, words);
        if (row.hidden === visible) row.hidden = !visible;
        if (visible) count += 1;
      });
      for (const button of buttons) {
        button.setAttribute('aria-pressed', String(button.dataset.filter === state.filter));
      }
      if (search.value !== state.q) search.value = state.q;
      shown.textContent = `${count} of ${rows.length} shown`;
    };
    const keep = () => {
      const hash = new URLSearchParams();
      if (state.filter !== 'all') hash.set('filter', state.filter);
      if (state.q) hash.set('q', state.q);
      history.replaceState(null, '', hash.size ? `#${hash}` : '#checks');
    };
    const read = () => {
      const hash = new URLSearchParams(location.hash.slice(1));
      if (!hash.has('filter') && !hash.has('q')) return false;
      const filter = hash.get('filter') ?? 'all';
      const known = buttons.some((button) => button.dataset.filter === filter);
      state.filter = known ? filter : 'all';
      state.q = hash.get('q') ?? '';
      return true;
    };
    for (const button of buttons) {
      button.addEventListener('click', () => {
        state.filter = button.dataset.filter;
        apply();
        keep();
      });
    }
    search.addEventListener('input', () => {
      state.q = search.value;
      apply();
      keep();
    });
    search.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !state.q) return;
      event.preventDefault();
      state.q = '';
      apply();
      keep();
    });
    document.addEventListener('keydown', (event) => {
      const typing = event.target.closest('input');
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      search.focus();
    });
    addEventListener('hashchange', () => {
      if (!read()) return;
      apply();
      one('#checks').scrollIntoView();
    });
    controls.hidden = false;
    const asked = read();
    apply();
    if (asked) one('#checks').scrollIntoView();
  }

  // The timeline: zooming makes the drawing wider, and keeps its middle where it is.
  const drawing = one('.drawing');
  if (drawing) {
    const svg = one('.drawing svg');
    const pointed = one('#pointed');
    let zoom = 1;
    const set = (wanted) => {
      const middle = (drawing.scrollLeft + drawing.clientWidth / 2) / drawing.scrollWidth;
      zoom = Math.min(64, Math.max(1, wanted));
      svg.style.width = `${zoom * 100}%`;
      drawing.classList.toggle('zoomed', zoom >= 4);
      drawing.scrollLeft = middle * drawing.scrollWidth - drawing.clientWidth / 2;
    };
    const steps = { in: () => set(zoom * 2), out: () => set(zoom / 2), all: () => set(1) };
    for (const button of all('[data-zoom]')) {
      button.addEventListener('click', steps[button.dataset.zoom]);
    }
    drawing.addEventListener('keydown', (event) => {
      const step = { '+': 'in', '=': 'in', '-': 'out', 0: 'all' }[event.key];
      if (!step || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      steps[step]();
    });
    drawing.addEventListener('pointerover', (event) => {
      const title = event.target.closest('g')?.querySelector('title');
      if (title) pointed.textContent = title.textContent;
    });
    one('.zoom').hidden = false;
  }
})();
