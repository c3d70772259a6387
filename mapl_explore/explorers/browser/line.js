// The line to Python: what a person does goes there, and the answer comes with the picture.

const PATIENCE = 3000; // ms without an answer from Python, after which the banner says so

// Only one message waits for its answer at a time, and of those after it only the newest is kept: a drag never queues.
class Line {
  constructor(model, silent, refused) {
    // Two windows may show one explorer: each looks for its own answers.
    Object.assign(this, { model, silent, refused, id: Math.random().toString(36).slice(2), count: 0, waiting: null, next: null });
    this.answer = () => this.done(model.get("answer"));
    model.on("change:answer", this.answer);
  }

  say(message) {
    if (this.waiting) this.next = message;
    else this.send(message);
  }

  send(message) {
    this.waiting = `${this.id}-${++this.count}`;
    this.timer = setTimeout(() => this.lost(), PATIENCE);
    try {
      this.model.send({ ...message, serial: this.waiting });
    } catch {
      this.lost();
    }
  }

  done({ serial, error }) {
    if (!serial?.startsWith(this.id)) return;
    this.silent(false); // also where an answer comes late
    if (serial !== this.waiting) return;
    clearTimeout(this.timer);
    this.waiting = null;
    this.refused(error);
    const next = this.next;
    this.next = null;
    if (next) this.send(next);
    else this.idle?.();
  }

  lost() {
    clearTimeout(this.timer);
    this.waiting = this.next = null;
    this.silent(true);
    this.idle?.();
  }

  end() {
    clearTimeout(this.timer);
    this.model.off("change:answer", this.answer);
  }
}
