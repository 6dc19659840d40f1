// Play, step, speed, and what the clock shows.

import { attribute, byId, show, text } from './dom.mjs';

export class Transport {
  constructor(app, speeds) {
    this.app = app;
    this.speeds = speeds;
    this.slider = byId('speed');
    this.slider.max = String(speeds.length - 1);
    this.slider.addEventListener('input', () => this.set(Number(this.slider.value)));
    byId('play').addEventListener('click', () => app.toggle());
    byId('step').addEventListener('click', () => app.step());
    byId('to-start').addEventListener('click', () => app.seek(0));
    byId('mend').addEventListener('click', () => app.act({ mend: {} }, 'Everything mended'));
    byId('go-on').addEventListener('click', () => app.goOn(10_000));
    byId('slow').addEventListener('change', (event) => { app.player.slow = event.target.checked; });
    byId('beside').append(...app.engine.fleets.map((fleet) => {
      const option = document.createElement('option');
      option.value = fleet.id;
      option.textContent = fleet.name;
      option.title = fleet.about;
      return option;
    }));
    byId('beside').addEventListener('change', (event) => app.beside(event.target.value));
    this.set(speeds.indexOf(1));
  }

  set(n) {
    const at = Math.max(0, Math.min(this.speeds.length - 1, n));
    this.slider.value = String(at);
    this.app.player.speed = this.speeds[at];
    this.app.player.pace = [];
    this.shownAt = 0;
    attribute(this.slider, 'aria-valuetext', `${this.speeds[at]} times`);
    this.app.wake();
  }

  faster(by) {
    this.set(Number(this.slider.value) + by);
  }

  render(view) {
    const { player } = this.app;
    const play = byId('play');
    attribute(play, 'aria-pressed', player.playing);
    text(play.lastElementChild, player.playing ? 'Pause' : 'Play');
    attribute(play.querySelector('use'), 'href', player.playing ? '#i-pause' : '#i-play');
    text(byId('clock'), view.at);
    const ended = view.end !== null && !player.playing;
    show(byId('ending'), ended);
    show(byId('go-on'), ended);
    if (view.end) {
      text(byId('ending'), view.end.words);
      attribute(byId('ending'), 'data-standing', view.end.why === 'violated' ? 'broken' : 'well');
    }
    if (byId('beside') !== document.activeElement) byId('beside').value = view.beside?.fleet ?? '';
    this.renderSpeed();
  }

  /** The speed that was asked for, or, where it is another, the one that came about. */
  renderSpeed() {
    const now = performance.now();
    const { player } = this.app;
    if (player.playing && now - (this.shownAt ?? 0) < 250) return;
    this.shownAt = now;
    const real = player.playing ? player.real() : null;
    const same = real === null || Math.abs(real / player.speed - 1) < 0.12;
    text(byId('speed-real'), same ? `${player.speed}×` : `${short(real)}×`);
    text(byId('speed-of'), same ? '' : ` of ${player.speed}×`);
  }
}

function short(speed) {
  return speed >= 10 ? Math.round(speed) : speed >= 1 ? speed.toFixed(1) : speed >= 0.095 ? speed.toFixed(2) : speed.toFixed(3);
}
